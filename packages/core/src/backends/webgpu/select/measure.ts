/** How fast a selection is at what takes the time of a model: products of one row (decode) and of many (images, prompts). */
import type { StoredWeight } from '../../../backend/index.ts';
import { linear, Recorder, type WeightRef } from '../../../ops/index.ts';
import type { WebGpuBackend } from '../index.ts';

interface Shape {
  readonly rows: number;
  readonly n: number;
  readonly k: number;
}

/** 8 MB of q4: enough to fill a large GPU, little enough to upload. */
export const STEP: Shape = { rows: 1, n: 4096, k: 4096 };
export const PROMPT: Shape = { rows: 256, n: 1024, k: 2048 };

const GROUP = 64;
/** Of the device's time, in milliseconds, for each of the repetitions. */
const SPAN_MS = 4;
const REPETITIONS = 3;
/** Slower than this once, it is not run again. */
const SLOW_MS = 30;

/** A linear of one shape, compiled and warm. */
export interface Timed {
  /** Milliseconds, the best of a few. */
  time(): Promise<number>;
}

/** Compiles a q4 linear; weights of zeros are as fast as any. */
export async function prepareLinear(backend: WebGpuBackend, { rows, n, k }: Shape): Promise<Timed> {
  const r = new Recorder(`measure ${rows}`);
  const x = r.input('x', rows, k);
  const w = r.matrix(`w ${rows}`, n, k);
  linear(r, x, w, { y: r.output('y', rows, n) });
  await backend.loadWeight(zeros(w));
  const executable = await backend.compile(r.finish());
  const run = { inputs: { x: new Float32Array(rows * k) } };
  return {
    async time() {
      const first = await backend.time(executable, run, 1);
      if (first > SLOW_MS) return first;
      const repeats = Math.min(32, Math.max(1, Math.round(SPAN_MS / first)));
      let best = first;
      for (let i = 0; i < REPETITIONS; i++)
        best = Math.min(best, await backend.time(executable, run, repeats));
      return best;
    },
  };
}

function zeros(ref: WeightRef): StoredWeight {
  const scales = (rows: number) => new Uint8Array((2 * rows * ref.k) / GROUP);
  return {
    ref,
    format: 'q4',
    dtype: 'F16',
    group: GROUP,
    readRows: async (begin, end) => ({
      values: new Uint8Array(((end - begin) * ref.k) / 2),
      scales: scales(end - begin),
      biases: scales(end - begin),
    }),
  };
}
