import { assertShape, type Recorder } from './recorder.ts';
import type { Tensor, Tolerance, WeightRef } from './types.ts';

/** `y = x / sqrt(mean(x^2) + eps) * w`, per row. */
export function rmsNorm(r: Recorder, x: Tensor, w: WeightRef, eps: number, name = w.name): Tensor {
  assertShape(w.n === x.cols, `rms_norm ${w.name}: ${x.cols} columns, weight ${w.n}`);
  const y = r.tensor(name, x.rows, x.cols);
  r.emit({ op: 'rms_norm', x, w, eps, y });
  return y;
}

export const rmsNormTolerance: Tolerance = { base: 2e-6, growth: 0 };
