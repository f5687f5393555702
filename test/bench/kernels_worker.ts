// A worker of the two-worker bench: its own memory, its own share of the rows; on 'go' it meets the others and answers with
// the seconds that its share took.
import { parentPort, workerData } from 'node:worker_threads';
import { Machine, type Command, type Variant } from './kernels_machine.ts';

interface Task {
  variant: Variant;
  kernel: 'linear_q4_gemv' | 'linear_q4_gemm';
  size: number;
  rank: number;
  flag: Int32Array<SharedArrayBuffer>;
}

const { variant, kernel, size, flag } = workerData as Task;
const gemv = kernel === 'linear_q4_gemv';
const rows = gemv ? 1 : 582;
const k = 4096;
const n = (gemv ? 4096 : 64) / size; // short runs find a moment when nothing else does
const group = 64;
const machine = new Machine(variant);
const bytes = machine.exports.packed_bytes(3, n, k, group);
// each worker cycles through its share of 512 MB, a run takes 8 of its matrices
const weights = machine.weights(3, n, k, group, gemv ? Math.ceil((512 << 20) / size / bytes / 8) * 8 : 1);
const q = machine.alloc(machine.exports.act_q8_bytes(rows, k));
const x = machine.floats(rows * k, 7);
const y = machine.alloc(rows * n * 4);
machine.list([['quantize_q8', { q, x, rows, k, ldx: k }]])();
const common = { y, ldy: n, q, bias: 0, res: 0, ldres: 0, rows, n, k, group, act: 0 };
const calls: (() => void)[] = [];
for (let i = 0; i < weights.length; i += 8) {
  calls.push(machine.list(weights.slice(i, i + 8).map((w): Command => [kernel, { ...common, w }])));
}
// until the engine has compiled for speed
for (let i = 0, end = performance.now() + 1500; performance.now() < end; i++) calls[i % calls.length]();

let next = 0;
parentPort!.on('message', () => {
  Atomics.add(flag, 0, 1);
  while (Atomics.load(flag, 0) < size); // all start together
  const start = performance.now();
  calls[next++ % calls.length]();
  parentPort!.postMessage((performance.now() - start) / 1e3);
});
parentPort!.postMessage(0);
