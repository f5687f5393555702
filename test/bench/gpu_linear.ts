/** Times linears of one shape by one variant of their kernel. */
import type { WeightFormat } from '../../packages/core/src/backend/index.ts';
import type { Compiled } from '../../packages/core/src/backends/webgpu/compiled.ts';
import { createWebGpu, type WebGpuOptions } from '../../packages/core/src/backends/webgpu/index.ts';
import { rowBytes, scaleBytes } from '../../packages/core/src/backends/webgpu/pack.ts';
import type { Host } from '../../packages/core/src/host.ts';
import { linear, Recorder, rowsOf } from '../../packages/core/src/ops/index.ts';
import { GROUP, noiseValues, randomMatrix } from './model_weights.ts';

export interface LinearJob {
  readonly format: WeightFormat;
  /** Rows of x. */
  readonly rows: number;
  /** Of the matrix: rows, and columns. */
  readonly n: number;
  readonly k: number;
  /** So many bytes of different matrices are read in turns at least, so that no cache holds them. */
  readonly coldBytes: number;
  readonly options: WebGpuOptions;
}

export interface LinearTime {
  /** What it was lowered to. */
  readonly kernel: string;
  readonly variant: string;
  /** Milliseconds of one linear. */
  readonly ms: number;
  /** Bytes of one matrix, scales included. */
  readonly bytes: number;
  /** Multiplications of one linear. */
  readonly macs: number;
}

/** Milliseconds that one measurement should last. */
const LENGTH = 20;
/** Milliseconds after which nothing is measured again. */
const ENOUGH = 1000;

export async function timeLinear(host: Host, job: LinearJob): Promise<LinearTime> {
  const { format, rows, n, k, coldBytes, options } = job;
  const bytes = n * (rowBytes(format, k) + scaleBytes(format, k, GROUP));
  const matrices = Math.max(1, Math.ceil(coldBytes / bytes));
  const r = new Recorder(`${format} ${rows} x ${n} x ${k}`);
  const x = r.input('x', matrices * rows, k);
  // A state is not read back.
  const y = r.state('y', matrices * rows, n);
  for (let i = 0; i < matrices; i++) {
    // Rows of their own, for linears of the same x would become one.
    const w = r.matrix(`w${i}`, n, k);
    linear(r, rowsOf(x, i * rows, rows), w, { y: rowsOf(y, i * rows, rows) });
  }
  const program = r.finish();
  const weights = program.weights.map((ref) => randomMatrix(ref, format));
  const backend = await createWebGpu(host, options);
  try {
    await backend.reserve(weights, [program]);
    for (const weight of weights) await backend.loadWeight(weight);
    const executable = await backend.compile(program);
    const run = { inputs: { x: noiseValues(matrices * rows * k) } };
    // The first time is the driver's compilation.
    await backend.time(executable, run, 1);
    const once = await backend.time(executable, run, 1);
    const repeats = Math.min(200, Math.max(1, Math.ceil(LENGTH / once)));
    let ms = once;
    const start = performance.now();
    for (let i = 0; i < 3 && once + performance.now() - start < ENOUGH; i++)
      ms = Math.min(ms, await backend.time(executable, run, repeats));
    // The last one: before it, x may have been rounded to int8.
    const { dispatches } = (executable as Compiled).parts.list;
    const { kernel, variant } =
      dispatches.findLast((dispatch) => dispatch.kernel !== 'linear_reduce') ?? dispatches[0];
    return { kernel, variant, ms: ms / matrices, bytes, macs: rows * n * k };
  } finally {
    await backend.dispose();
  }
}
