/** What the adapter can do at best: copies between buffers, and our own fastest matrix products. */
import type { WeightFormat } from '../../packages/core/src/backend/index.ts';
import { openDevice, type OpenDevice } from '../../packages/core/src/backends/webgpu/device.ts';
import { GpuMemory } from '../../packages/core/src/backends/webgpu/memory.ts';
import { capabilitiesOf } from '../../packages/core/src/backends/webgpu/select/choose.ts';
import { candidates, usesHalves } from '../../packages/core/src/backends/webgpu/select/rules.ts';
import { gpuHost } from './gpu_open.ts';
import { timeLinear } from './gpu_linear.ts';

export interface Roof {
  /** Bytes of one copied buffer. */
  readonly copyBytes: number;
  /** Bytes read plus bytes written, as STREAM counts them, in 1e9 a second. */
  readonly copyGBs: number;
  /** Side of the square matrices. */
  readonly side: number;
  readonly matrix: readonly MatrixRate[];
}

export interface MatrixRate {
  readonly kernel: string;
  readonly variant: string;
  readonly format: WeightFormat;
  /** 1e9 multiplications with their additions a second. */
  readonly gmacs: number;
}

export type Size = 'full' | 'software' | 'quick';

const FLOATS = ['f32', 'f16'] as const;
const SIZES = {
  full: { copyBytes: 2 ** 30, copyMs: 40, side: 4096, floats: FLOATS },
  software: { copyBytes: 2 ** 28, copyMs: 100, side: 512, floats: FLOATS },
  quick: { copyBytes: 2 ** 24, copyMs: 20, side: 256, floats: FLOATS.slice(1) },
} as const;

export async function measureRoof(size: Size, save: (roof: Roof) => void): Promise<void> {
  const { copyMs, side, floats } = SIZES[size];
  const host = gpuHost();
  const open = await openDevice(host, {});
  const capabilities = capabilitiesOf(open);
  let roof: Roof;
  try {
    const { maxBufferSize } = open.device.limits;
    const copyBytes = Math.min(SIZES[size].copyBytes, maxBufferSize);
    roof = { copyBytes, copyGBs: await copyRate(open, copyBytes, copyMs), side, matrix: [] };
  } finally {
    open.dispose();
  }
  save(roof);
  const jobs = (['linear_gemm', 'linear_gemm_int8'] as const).flatMap((kernel) =>
    candidates(kernel, capabilities).flatMap((variant) =>
      (kernel === 'linear_gemm' ? floats : (['q8'] as const)).map((format) => ({
        kernel,
        variant,
        format,
      })),
    ),
  );
  for (const { kernel, variant, format } of jobs) {
    const { ms, macs } = await timeLinear(host, {
      format,
      rows: side,
      n: side,
      k: side,
      coldBytes: 0,
      options: {
        precision: usesHalves(kernel, variant) ? 'f16' : 'f32',
        variants: { [kernel]: variant },
        int8: kernel === 'linear_gemm_int8',
      },
    });
    roof = { ...roof, matrix: [...roof.matrix, { kernel, variant, format, gmacs: macs / ms / 1e6 }] };
    save(roof);
  }
}

/** GB/s of buffer-to-buffer copies, from the difference between a long and a short run of them. */
async function copyRate(open: OpenDevice, bytes: number, length: number): Promise<number> {
  const memory = new GpuMemory(open);
  try {
    const from = await memory.storage('scratch', bytes, 'copies');
    const to = await memory.storage('scratch', bytes, 'copies');
    const time = async (count: number): Promise<number> => {
      await open.idle();
      const encoder = open.device.createCommandEncoder();
      for (let i = 0; i < count; i++) encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
      const commands = encoder.finish();
      const start = performance.now();
      open.device.queue.submit([commands]);
      await open.idle();
      return performance.now() - start;
    };
    // The first copies also clear the buffers.
    await time(1);
    const count = Math.min(256, Math.max(2, Math.ceil(length / (await time(1)))));
    let [short, long] = [Infinity, Infinity];
    for (let i = 0; i < 5; i++) {
      short = Math.min(short, await time(1));
      long = Math.min(long, await time(1 + count));
    }
    // Beside other work the short run may have been the slower one: then the long one stands with all its overhead.
    const [copies, ms] = long > short ? [count, long - short] : [1 + count, long];
    return (2 * bytes * copies) / ms / 1e6;
  } finally {
    memory.destroy();
  }
}
