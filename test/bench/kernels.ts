// Kernel bench: node test/bench/kernels.ts [--seconds 2] [--variant simd|relaxed] [--only NAME] [--no-threads]
//
// One thread: GEMV on cold weights (more than 500 MB are cycled, so that every byte comes from memory), GB/s of packed bytes
// and the ratio to stream_read measured in turns with it; GEMM at M = 582 in GMAC/s. Then two workers with private memories,
// each with half of the rows. The best of many calls counts, because other programs may be running.
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { best, Machine, type Command, type Variant } from './kernels_machine.ts';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '2' },
    variant: { type: 'string' },
    only: { type: 'string' },
    'no-threads': { type: 'boolean', default: false },
  },
});
const seconds = Number(options.seconds);
const COLD_BYTES = 512 << 20;
const M = 582;

interface Gemv {
  kernel: 'linear_q4_gemv' | 'linear_q4_gemv_dot4' | 'linear_q8_gemv' | 'linear_f16_gemv' | 'linear_f32_gemv';
  format: number;
  n: number;
  k: number;
  group: number;
}
const gemvs: Gemv[] = [];
for (const [n, k] of [
  [4096, 4096],
  [4864, 896],
  [896, 4864],
]) {
  for (const group of [64, 32]) {
    gemvs.push({ kernel: 'linear_q4_gemv', format: 3, n, k, group });
    gemvs.push({ kernel: 'linear_q4_gemv_dot4', format: 3, n, k, group });
  }
  gemvs.push({ kernel: 'linear_q8_gemv', format: 2, n, k, group: 64 });
  gemvs.push({ kernel: 'linear_f16_gemv', format: 1, n, k, group: 0 });
}

interface Gemm {
  kernel: 'linear_q4_gemm' | 'linear_q8_gemm' | 'linear_f16_gemm' | 'linear_f32_gemm';
  format: number;
  n: number;
  k: number;
  group: number;
}
const gemms: Gemm[] = [];
for (const [n, k] of [
  [4096, 4096],
  [4864, 896],
  [896, 4864],
]) {
  for (const group of [64, 32]) gemms.push({ kernel: 'linear_q4_gemm', format: 3, n, k, group });
  gemms.push({ kernel: 'linear_q8_gemm', format: 2, n, k, group: 64 });
}
gemms.push({ kernel: 'linear_f16_gemm', format: 1, n: 1024, k: 1024, group: 0 });
gemms.push({ kernel: 'linear_f32_gemm', format: 0, n: 1024, k: 1024, group: 0 });

function print(...cells: (string | number)[]): void {
  const text = cells.map((c, i) => (i === 0 ? String(c).padEnd(46) : String(c).padStart(12)));
  console.log(text.join(''));
}

function wanted(name: string): boolean {
  return !options.only || name.includes(options.only);
}

/** Best time of one command of the list; every call takes the next, so that weights are cold again when their turn comes. */
function cycle(calls: (() => void)[]): () => void {
  let next = 0;
  return () => calls[next++ % calls.length]();
}

function benchGemv(variant: Variant, shape: Gemv): void {
  const { kernel, format, n, k, group } = shape;
  const name = `${kernel} ${n}x${k}${group ? ` g${group}` : ''}`;
  if (!wanted(name)) return;
  const machine = new Machine(variant);
  const size = machine.exports.packed_bytes(format, n, k, group);
  const weights = machine.weights(format, n, k, group, Math.ceil(COLD_BYTES / size));
  const x = machine.floats(k, 7);
  const q = machine.alloc(machine.exports.act_q8_bytes(1, k));
  const y = machine.alloc(n * 4);
  machine.list([['quantize_q8', { q, x, rows: 1, k, ldx: k }]])();
  const common = { y, ldy: n, bias: 0, res: 0, ldres: 0, rows: 1, n, k, act: 0 };
  const calls = weights.map((w) =>
    machine.list([[kernel, { ...common, q, x, ldx: k, w, group }] as unknown as Command]),
  );
  const reads = weights.map((w) => machine.list([['stream_read', { out: y, x: w, bytes: size }]]));
  const gemv = cycle(calls);
  const read = cycle(reads);
  // lets the engine finish compiling
  for (let i = 0; i < 60; i++) {
    gemv();
    read();
  }
  let times = [Infinity, Infinity];
  for (let turn = 0; turn < 4; turn++) {
    times = [Math.min(times[0], best(gemv, seconds / 8)), Math.min(times[1], best(read, seconds / 8))];
  }
  const rate = times.map((t) => size / t / 1e9);
  print(
    `${variant} ${name}`,
    `${rate[0].toFixed(2)} GB/s`,
    `${((n * k) / times[0] / 1e9).toFixed(1)} GMAC/s`,
    `${rate[1].toFixed(2)} read`,
    `${((100 * rate[0]) / rate[1]).toFixed(0)} %`,
  );
}

function benchGemm(variant: Variant, shape: Gemm): void {
  const { kernel, format, n, k, group } = shape;
  const name = `${kernel} M${M} ${n}x${k}${group ? ` g${group}` : ''}`;
  if (!wanted(name)) return;
  const machine = new Machine(variant);
  const [w] = machine.weights(format, n, k, group, 1);
  const x = machine.floats(M * k, 7);
  const q = machine.alloc(machine.exports.act_q8_bytes(M, k));
  const y = machine.alloc(M * n * 4);
  machine.list([['quantize_q8', { q, x, rows: M, k, ldx: k }]])();
  // few rows at a time: a call of about a millisecond finds a moment when nothing else runs
  const part = Math.max(8, Math.round(65536 / k / 8) * 8);
  const common = { y, ldy: n, bias: 0, res: 0, ldres: 0, rows: M, n: part, k, act: 0 };
  const call = machine.list([[kernel, { ...common, q, x, ldx: k, w, group }] as unknown as Command]);
  for (let i = 0; i < 3; i++) call();
  const time = best(call, seconds);
  const bytes = machine.exports.packed_bytes(format, part, k, group);
  print(
    `${variant} ${name}`,
    `${(bytes / time / 1e9).toFixed(2)} GB/s`,
    `${((M * part * k) / time / 1e9).toFixed(1)} GMAC/s`,
  );
}

/** Speed-up of two workers over one, every worker with its own half of the rows in its own memory. */
async function benchThreads(variant: Variant, kernel: 'linear_q4_gemv' | 'linear_q4_gemm'): Promise<void> {
  if (!wanted(`threads ${kernel}`)) return;
  const flag = new Int32Array(new SharedArrayBuffer(8));
  const start = (size: number, rank: number): Promise<Worker> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./kernels_worker.ts', import.meta.url), {
        workerData: { variant, kernel, size, rank, flag },
      });
      worker.once('message', () => resolve(worker));
      worker.once('error', reject);
    });
  const times: number[] = [];
  for (const size of [1, 2]) {
    const workers = await Promise.all(Array.from({ length: size }, (_, rank) => start(size, rank)));
    let shortest = Infinity;
    for (let i = 0; i < 50 * seconds; i++) {
      Atomics.store(flag, 0, 0);
      const done = workers.map(
        (w) => new Promise<number>((resolve) => w.once('message', (t: number) => resolve(t))),
      );
      for (const w of workers) w.postMessage('go');
      shortest = Math.min(shortest, Math.max(...(await Promise.all(done))));
    }
    times.push(shortest);
    await Promise.all(workers.map((w) => w.terminate()));
  }
  print(
    `${variant} ${kernel} k4096, two workers`,
    `${(times[0] * 1e3).toFixed(2)} ms`,
    `${(times[1] * 1e3).toFixed(2)} ms`,
    `${(times[0] / times[1]).toFixed(2)} x`,
  );
}

for (const variant of ['relaxed', 'simd'] as const) {
  if (options.variant && options.variant !== variant) continue;
  for (const shape of gemvs) benchGemv(variant, shape);
  for (const shape of gemms) benchGemm(variant, shape);
  if (!options['no-threads']) {
    await benchThreads(variant, 'linear_q4_gemv');
    await benchThreads(variant, 'linear_q4_gemm');
  }
}
