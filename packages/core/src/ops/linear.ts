import { assertShape, type Recorder } from './recorder.ts';
import type { Activation, Tensor, Tolerance, WeightRef } from './types.ts';

/**
 * `y[r, o] = act(sum_k x[r, k] w[o, k] + bias[o]) + residual[r, o]`; x `[rows, k]`, w `[n, k]`, y `[rows, n]`.
 * With q8 or q4 weights x is rounded to int8 first, per row and per 32 values (`quantize_q8`); the sums are exact
 * integers, so the tolerance is against float64 with the same rounding.
 */
export function linear(
  r: Recorder,
  x: Tensor,
  w: WeightRef,
  options: { bias?: WeightRef; residual?: Tensor; act?: Activation; y?: Tensor; name?: string } = {},
): Tensor {
  const y = options.y ?? r.tensor(options.name ?? w.name, x.rows, w.n);
  assertShape(x.cols === w.k, `linear ${w.name}: x has ${x.cols} columns, w wants ${w.k}`);
  assertShape(y.rows === x.rows && y.cols === w.n, `linear ${w.name}: y is ${y.rows} x ${y.cols}`);
  if (options.bias) assertShape(options.bias.n === w.n, `linear ${w.name}: bias has ${options.bias.n}`);
  const { residual } = options;
  if (residual)
    assertShape(residual.rows === y.rows && residual.cols === y.cols, `linear ${w.name}: residual`);
  r.emit({ op: 'linear', x, w, bias: options.bias, residual, act: options.act ?? 'none', y });
  return y;
}

/** f32 sums of k terms: error grows with sqrt(k) times the unit roundoff. */
export const linearTolerance: Tolerance = { base: 2e-6, growth: 2e-7 };

/**
 * For kernels that multiply in f16 (11 bits) and sum in f32: rounding x and w moves every product by up to 2^-10 of itself,
 * runs of a few products add about as much, and of independent errors the sum grows as the root of k, as the output does.
 */
export const linearF16Tolerance: Tolerance = { base: 4e-3, growth: 0 };
