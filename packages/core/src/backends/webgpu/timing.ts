/** How long dispatches take. */
import { BufferUsage, MAP_READ } from './constants.ts';
import type { OpenDevice } from './device.ts';

/** Bytes of two timestamps. */
const BYTES = 16;

/**
 * Milliseconds of one compute pass: by the device's own clock where it has one, for some runtimes take 100 ms to say that
 * work is done; else from the submit to its end.
 */
export async function timePass(
  open: OpenDevice,
  encode: (pass: GPUComputePassEncoder) => void,
): Promise<number> {
  const { device } = open;
  const clock = device.features.has('timestamp-query') ? makeClock(device) : null;
  try {
    await open.idle();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass(clock ? { timestampWrites: clock.writes } : {});
    encode(pass);
    pass.end();
    if (clock) {
      encoder.resolveQuerySet(clock.set, 0, 2, clock.resolved, 0);
      encoder.copyBufferToBuffer(clock.resolved, 0, clock.staging, 0, BYTES);
    }
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await open.idle();
    const elapsed = performance.now() - start;
    if (!clock) return elapsed;
    await open.unlessLost(clock.staging.mapAsync(MAP_READ));
    const [begin, end] = new BigUint64Array(clock.staging.getMappedRange());
    const ms = Number(end - begin) / 1e6;
    // Clocks that stand still or run too fast are known.
    return ms > 0 && ms <= elapsed ? ms : elapsed;
  } finally {
    clock?.set.destroy();
    clock?.resolved.destroy();
    clock?.staging.destroy();
  }
}

function makeClock(device: GPUDevice) {
  const set = device.createQuerySet({ type: 'timestamp', count: 2 });
  const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ: READ } = BufferUsage;
  const resolved = device.createBuffer({ size: BYTES, usage: QUERY_RESOLVE | COPY_SRC });
  const staging = device.createBuffer({ size: BYTES, usage: READ | COPY_DST });
  const writes = { querySet: set, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
  return { set, resolved, staging, writes };
}
