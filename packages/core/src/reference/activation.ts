import type { Activation } from '../ops/index.ts';
import { get, set, type Matrix } from './matrix.ts';

/**
 * erf by its all-positive series, `2/sqrt(pi) e^(-x^2) sum_n 2^n x^(2n+1) / (1*3*...*(2n+1))` (Abramowitz & Stegun
 * 7.1.6): no term cancels another, so the sum is good to a few ulps. Past |x| = 6 erf is 1 to double precision.
 */
export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  if (Math.abs(x) >= 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-18; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** `1 / (1 + e^-x)`. */
export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** One value of an activation. `gelu` is the exact (erf) form. */
export function activate(act: Activation, x: number): number {
  switch (act) {
    case 'none':
      return x;
    case 'gelu':
      return 0.5 * x * (1 + erf(x / Math.SQRT2));
    case 'quick_gelu':
      return x * sigmoid(1.702 * x);
    case 'gelu_tanh':
      return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    case 'silu':
      return x * sigmoid(x);
    case 'relu':
      return Math.max(x, 0);
  }
}

/** `y = act(x)`, element by element. */
export function activation(x: Matrix, act: Activation, y: Matrix): void {
  for (let r = 0; r < y.rows; r++) {
    for (let c = 0; c < y.cols; c++) set(y, r, c, activate(act, get(x, r, c)));
  }
}
