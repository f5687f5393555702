import { assertShape, type Recorder } from './recorder.ts';
import type { Tensor, Tolerance, WeightRef } from './types.ts';

/** `y = (x - mean) / sqrt(var + eps) * w + b`, per row; var is the biased variance. */
export function layerNorm(
  r: Recorder,
  x: Tensor,
  w: WeightRef,
  b: WeightRef,
  eps: number,
  name = w.name,
): Tensor {
  assertShape(w.n === x.cols && b.n === x.cols, `layer_norm ${w.name}: ${x.cols} columns, weight ${w.n}`);
  const y = r.tensor(name, x.rows, x.cols);
  r.emit({ op: 'layer_norm', x, w, b, eps, y });
  return y;
}

export const layerNormTolerance: Tolerance = { base: 2e-6, growth: 0 };
