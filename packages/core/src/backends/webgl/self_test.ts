/** Whether this GPU and its driver compute products as float32 should be: many compute with less. */
import { DeviceError } from '../../errors/index.ts';
import { linearTolerance, type Activation } from '../../ops/index.ts';
import { ROW_STEP, roundUp, type Products } from './products.ts';

const ROWS = 16;
const N = 22;
const K = 70;
const ACTIVATIONS: readonly Activation[] = ['none', 'gelu', 'quick_gelu', 'gelu_tanh', 'silu', 'relu'];

/**
 * Small products whose terms differ by many powers of two and cancel, against float64.
 *
 * @throws {DeviceError} `SELF_TEST_FAILED`, `DEVICE_LOST`.
 */
export function selfTest(products: Products): void {
  const random = sequence(1);
  const x = Float32Array.from({ length: ROWS * K }, () => random() * 2 ** Math.round(6 * random()));
  const w = Float32Array.from({ length: N * K }, () => random() * 2 ** Math.round(6 * random()));
  const bias = Float32Array.from({ length: N }, random);
  const [width, height] = [roundUp(N, 4), roundUp(K, 4)];
  const transposed = new Float32Array(width * height);
  const padded = new Float32Array(roundUp(ROWS, ROW_STEP) * height);
  for (let i = 0; i < K; i++) {
    for (let o = 0; o < N; o++) transposed[i * width + o] = w[o * K + i];
    for (let r = 0; r < ROWS; r++) padded[r * height + i] = x[r * K + i];
  }
  const matrix = products.matrix(transposed, N, K);
  const vector = products.vector(bias);
  const rows = products.upload(padded, roundUp(ROWS, ROW_STEP), height);
  try {
    for (const act of ACTIVATIONS) {
      const y = products.linear(rows, matrix, vector, act);
      const values = products.read(y);
      products.release(y);
      for (let r = 0; r < ROWS; r++) {
        for (let o = 0; o < N; o++) check(act, values[r * y.cols + o], truth(r, o));
      }
    }
  } finally {
    for (const texture of [matrix, vector, rows]) products.release(texture);
  }

  /** The product with its bias, and the sum of its terms' sizes: what rounding is in proportion to. */
  function truth(r: number, o: number): { sum: number; size: number } {
    let [sum, size] = [bias[o], Math.abs(bias[o])];
    for (let i = 0; i < K; i++) {
      const term = x[r * K + i] * w[o * K + i];
      sum += term;
      size += Math.abs(term);
    }
    return { sum, size };
  }
}

/** Of the activations of a model, whose derivatives are at most 1.2 or so. */
const STEEPEST = 1.2;

function check(act: Activation, got: number, { sum, size }: { sum: number; size: number }): void {
  const want = activate(act, sum);
  const allowed = STEEPEST * (linearTolerance.base + linearTolerance.growth * Math.sqrt(K)) * size;
  if (Math.abs(got - want) <= allowed) return;
  throw new DeviceError({
    code: 'SELF_TEST_FAILED',
    message: `WebGL computes ${got} where ${want} is right (${act}, allowed is ${allowed}): this GPU or its driver rounds too much.`,
    fix: 'Use device "wasm", or update the GPU driver.',
  });
}

function activate(act: Activation, x: number): number {
  const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
  const tanhLike = Math.sqrt(8 / Math.PI) * (x + 0.044715 * x ** 3);
  switch (act) {
    case 'none':
      return x;
    case 'relu':
      return Math.max(x, 0);
    case 'silu':
      return x * sigmoid(x);
    case 'quick_gelu':
      return x * sigmoid(1.702 * x);
    case 'gelu_tanh':
      return x * sigmoid(tanhLike);
    case 'gelu':
      return x * normal(x);
  }
}

/** The normal distribution's integral, by a series without cancellation. */
function normal(x: number): number {
  if (Math.abs(x) > 8) return x > 0 ? 1 : 0;
  let [term, sum] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) sum += term *= (x * x) / (2 * n + 1);
  return 0.5 + (sum * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
}

/** Numbers in [-1, 1), the same each time. */
function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}
