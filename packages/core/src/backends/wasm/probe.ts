/**
 * Tests and times a build of the kernels in the engine at hand, at load. Relaxed SIMD leaves the sign of one operand to
 * the engine, and engines exist that get it wrong: sums that are exact integers by construction show it.
 */
import { encode, FORMAT_CODE } from './commands.ts';
import type { KernelArgs, KernelName } from './commands.ts';
import { PrivateMemory } from './memory.ts';
import type { ProbeResult, Variant } from './protocol.ts';
import type { KernelChoice } from './select/linear.ts';

/** Large enough to time, small enough for the start: 256 x 2048 codes are 0.3 MB. */
const N = 256;
const K = 2048;
const GROUP = 32;
const GEMM_ROWS = 16;
/** Engines compile kernels again, better, while they run: each is timed for so long, and its best run counts. */
const BUDGET_MS = 15;
const REPEATS = 5;

interface ProbeExports {
  run(list: number, count: number): number;
  act_q8_bytes(rows: number, k: number): number;
  packed_bytes(format: number, n: number, k: number, group: number): number;
  __heap_base: WebAssembly.Global;
}

/** Runs the self-test and the micro-benchmark of one build. */
export function probe(variant: Variant, module: WebAssembly.Module): ProbeResult {
  const refused = (refusal: string): ProbeResult => ({ variant, refusal, gemv: [], gemm: Infinity });
  try {
    return measure(variant, module, refused);
  } catch (error) {
    return refused(`it failed to run: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function measure(
  variant: Variant,
  module: WebAssembly.Module,
  refused: (why: string) => ProbeResult,
): ProbeResult {
  const heap = new PrivateMemory();
  const instance = new WebAssembly.Instance(module, {
    env: { memory: heap.memory, exchange: () => undefined },
  });
  const kernels = instance.exports as unknown as ProbeExports;
  heap.start(Number(kernels.__heap_base.value));

  const { codes, scales, biases, x, truth } = hostileCase();
  const put = (bytes: Uint8Array): number => {
    const at = heap.alloc(bytes.length);
    new Uint8Array(heap.buffer, at, bytes.length).set(bytes);
    return at;
  };
  const run = <T extends KernelName>(kernel: T, args: KernelArgs[T]): number => {
    const words = encode({ kernel, args: args }, () => 0);
    const at = put(new Uint8Array(Uint32Array.from(words).buffer));
    const start = performance.now();
    kernels.run(at, 1);
    const ms = performance.now() - start;
    heap.free(at);
    return ms;
  };

  const w = heap.alloc(kernels.packed_bytes(FORMAT_CODE.q4, N, K, GROUP));
  const q = heap.alloc(kernels.act_q8_bytes(GEMM_ROWS, K));
  const q1 = heap.alloc(kernels.act_q8_bytes(1, K));
  const y = heap.alloc(GEMM_ROWS * N * 4);
  const xAt = put(new Uint8Array(x.buffer));
  const stored = { codes: put(codes), scales: put(scales), biases: put(biases) };
  run('repack_q4', { dst: w, ...stored, dtype: 1, n: N, k: K, group: GROUP, row0: 0, rows: N, shift: 0 });
  run('quantize_q8', { q, x: xAt, rows: GEMM_ROWS, k: K, ldx: K });
  run('quantize_q8', { q: q1, x: xAt, rows: 1, k: K, ldx: K });

  const time = (kernel: KernelChoice['q4Gemv'] | 'linear_q4_gemm', rows: number): number | string => {
    const args = {
      y,
      ldy: N,
      q: rows === 1 ? q1 : q,
      w,
      bias: 0,
      res: 0,
      ldres: 0,
      rows,
      n: N,
      k: K,
      group: GROUP,
      act: 0,
    };
    let best = Infinity;
    const start = performance.now();
    for (let i = 0; i < REPEATS || performance.now() - start < BUDGET_MS; i++) {
      best = Math.min(best, run(kernel, args));
    }
    const got = new Float32Array(heap.buffer, y, rows * N);
    for (let i = 0; i < got.length; i++) {
      // Exact integers below 2^24 by construction, so f32 holds them exactly.
      if (got[i] !== truth[i]) return `${kernel} gives ${got[i]} where ${truth[i]} is right`;
    }
    return best;
  };

  const gemv: ProbeResult['gemv'] = [];
  for (const kernel of ['linear_q4_gemv', 'linear_q4_gemv_dot4'] as const) {
    const ms = time(kernel, 1);
    if (typeof ms === 'string') return refused(ms);
    gemv.push({ kernel, ms });
  }
  const gemm = time('linear_q4_gemm', GEMM_ROWS);
  if (typeof gemm === 'string') return refused(gemm);
  return { variant, refusal: null, gemv, gemm };
}

/**
 * Codes and activations at their extremes (0 and 15, -127 and 127), all scales 1: activations of absolute maximum 127
 * have the scale 1, so the true result is a sum of integers.
 */
function hostileCase() {
  let state = 0x9e3779b9;
  const random = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const code = (n: number): number => [0, 15, 15, n & 15][(n >> 4) & 3];
  const level = (n: number): number => [127, -127, -127, ((n >>> 8) % 255) - 127][(n >> 4) & 3];

  const matrix = Uint8Array.from({ length: N * K }, () => code(random()));
  const words = new Uint32Array((N * K) / 8);
  matrix.forEach((value, i) => (words[i >> 3] |= value << (4 * (i & 7))));
  const x = Float32Array.from({ length: GEMM_ROWS * K }, (_, i) => (i % GROUP === 0 ? 127 : level(random())));
  const truth = new Float32Array(GEMM_ROWS * N);
  for (let r = 0; r < GEMM_ROWS; r++) {
    for (let o = 0; o < N; o++) {
      let sum = 0;
      // The bias is -8 for every group: codes stand for -8..7.
      for (let i = 0; i < K; i++) sum += x[r * K + i] * (matrix[o * K + i] - 8);
      truth[r * N + o] = sum;
    }
  }
  const groups = (N * K) / GROUP;
  const half = (bits: number) => new Uint8Array(new Uint16Array(groups).fill(bits).buffer);
  // 1 and -8 in float16.
  return { codes: new Uint8Array(words.buffer), scales: half(0x3c00), biases: half(0xc800), x, truth };
}
