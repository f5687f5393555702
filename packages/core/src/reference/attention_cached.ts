import type { KvCache } from './kv_write.ts';
import { get, set, type Matrix } from './matrix.ts';
import { softmax } from './softmax.ts';

/**
 * Causal attention over a cache: the query of row r sees positions `0..pos + r`; query head h reads the KV head
 * `floor(h * kvHeads / heads)`. q, y `[rows, heads * headDim]`.
 */
export function attentionCached(q: Matrix, cache: KvCache, heads: number, y: Matrix, pos: number): void {
  const { kvHeads, headDim, context } = cache.ref;
  for (let r = 0; r < q.rows; r++) {
    const keys = pos + r + 1;
    for (let h = 0; h < heads; h++) {
      const first = Math.floor((h * kvHeads) / heads) * context * headDim;
      const scores = new Float64Array(keys);
      for (let t = 0; t < keys; t++) {
        let dot = 0;
        for (let c = 0; c < headDim; c++)
          dot += get(q, r, h * headDim + c) * cache.k[first + t * headDim + c];
        scores[t] = dot / Math.sqrt(headDim);
      }
      softmax(scores);
      const out = new Float64Array(headDim);
      for (let t = 0; t < keys; t++) {
        for (let c = 0; c < headDim; c++) out[c] += scores[t] * cache.v[first + t * headDim + c];
      }
      for (let c = 0; c < headDim; c++) set(y, r, h * headDim + c, out[c]);
    }
  }
}
