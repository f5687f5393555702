import { assertShape, type Recorder } from './recorder.ts';
import type { Tensor, Tolerance } from './types.ts';

/**
 * One head, queries and keys of different rows: `map = softmax(q k^T / sqrt(width))` `[nq, nk]`, `y = map v`
 * `[nq, width]` (the DFI, specification section 4). The map is an output of its own: the paper's figure 5 shows it.
 */
export function crossAttention(r: Recorder, q: Tensor, k: Tensor, v: Tensor, map: Tensor, y: Tensor): void {
  assertShape(q.cols === k.cols && v.cols === y.cols && k.rows === v.rows, 'cross_attention: widths');
  assertShape(map.rows === q.rows && map.cols === k.rows && y.rows === q.rows, 'cross_attention: map');
  r.emit({ op: 'cross_attention', q, k, v, map, y });
}

export const crossAttentionTolerance: Tolerance = { base: 4e-6, growth: 1e-7 };
