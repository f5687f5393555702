import type { Activation } from '../ops/index.ts';
import { activate } from './activation.ts';
import { get, set, type Matrix } from './matrix.ts';

/**
 * `y[r, o] = act(sum_k x[r, k] w[o, k] + bias[o]) + residual[r, o]`; x `[rows, k]`, w `[n, k]`, bias `[n]`. The
 * residual may be y itself. For quantised weights the caller rounds x first (`quantize_q8`).
 */
export function linear(
  x: Matrix,
  w: Matrix,
  bias: Float64Array | undefined,
  residual: Matrix | undefined,
  act: Activation,
  y: Matrix,
): void {
  const result = new Float64Array(y.rows * y.cols);
  for (let r = 0; r < y.rows; r++) {
    const xRow = x.offset + r * x.ld;
    for (let o = 0; o < y.cols; o++) {
      const wRow = w.offset + o * w.ld;
      let sum = 0;
      for (let k = 0; k < x.cols; k++) sum += x.data[xRow + k] * w.data[wRow + k];
      const value = activate(act, sum + (bias ? bias[o] : 0));
      result[r * y.cols + o] = value + (residual ? get(residual, r, o) : 0);
    }
  }
  for (let r = 0; r < y.rows; r++) {
    for (let o = 0; o < y.cols; o++) set(y, r, o, result[r * y.cols + o]);
  }
}
