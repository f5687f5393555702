import type { KvCacheRef } from '../ops/index.ts';
import { get, type Matrix } from './matrix.ts';

/** The keys and values of one layer, each `[kvHeads, context, headDim]`. */
export interface KvCache {
  readonly ref: KvCacheRef;
  readonly k: Float64Array;
  readonly v: Float64Array;
}

/** An empty cache, NaN where nothing was written: reading past the written positions shows. */
export function createKvCache(ref: KvCacheRef): KvCache {
  const size = ref.kvHeads * ref.context * ref.headDim;
  return { ref, k: new Float64Array(size).fill(NaN), v: new Float64Array(size).fill(NaN) };
}

/** Appends k, v `[rows, kvHeads * headDim]` at positions `pos..pos + rows - 1`. */
export function kvWrite(k: Matrix, v: Matrix, cache: KvCache, pos: number): void {
  const { kvHeads, headDim, context } = cache.ref;
  if (pos + k.rows > context) throw new RangeError(`positions ${pos}+${k.rows} of ${context}`);
  for (let r = 0; r < k.rows; r++) {
    for (let h = 0; h < kvHeads; h++) {
      for (let c = 0; c < headDim; c++) {
        const at = (h * context + pos + r) * headDim + c;
        cache.k[at] = get(k, r, h * headDim + c);
        cache.v[at] = get(v, r, h * headDim + c);
      }
    }
  }
}
