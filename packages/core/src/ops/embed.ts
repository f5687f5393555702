import { assertShape, type Recorder } from './recorder.ts';
import type { Tensor, Tolerance, WeightRef } from './types.ts';

/** `y[i] = w[ids[i]]`; ids u32 `[rows, 1]`, w `[vocab, width]`, y `[rows, width]`. */
export function embed(r: Recorder, ids: Tensor, w: WeightRef, y: Tensor): Tensor {
  assertShape(ids.cols === 1 && y.rows === ids.rows && y.cols === w.k, `embed ${w.name}`);
  r.emit({ op: 'embed', ids, w, y });
  return y;
}

export const embedTolerance: Tolerance = { base: 1e-6, growth: 0 };
