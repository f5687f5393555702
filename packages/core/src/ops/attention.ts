import { assertShape, type Recorder } from './recorder.ts';
import type { KvCacheRef, Tensor, Tolerance } from './types.ts';

/** Bidirectional: per head `softmax(q k^T / sqrt(headDim)) v`; q, k, v, y `[rows, heads * headDim]`. */
export function attention(r: Recorder, q: Tensor, k: Tensor, v: Tensor, heads: number, name: string): Tensor {
  assertShape(
    q.cols % heads === 0 && k.cols === q.cols && v.cols === q.cols,
    `attention: ${q.cols}, ${heads}`,
  );
  assertShape(k.rows === q.rows && v.rows === q.rows, 'attention: rows differ');
  const y = r.tensor(name, q.rows, q.cols);
  r.emit({ op: 'attention', q, k, v, heads, y });
  return y;
}

/** Appends k, v `[rows, kvHeads * headDim]` to a cache at positions `pos..pos + rows - 1`. */
export function kvWrite(r: Recorder, k: Tensor, v: Tensor, cache: KvCacheRef): void {
  const width = cache.kvHeads * cache.headDim;
  assertShape(k.cols === width && v.cols === width && k.rows === v.rows, `kv_write: ${k.cols} != ${width}`);
  r.emit({ op: 'kv_write', k, v, cache });
}

/**
 * Causal attention over a cache: the query of row r sees the positions `0..pos + r`. Query head h reads the KV head
 * `floor(h * kvHeads / heads)`. q, y `[rows, heads * headDim]`.
 */
export function attentionCached(
  r: Recorder,
  q: Tensor,
  cache: KvCacheRef,
  heads: number,
  name: string,
): Tensor {
  assertShape(
    q.cols === heads * cache.headDim && heads % cache.kvHeads === 0,
    `attention_cached: ${heads} heads`,
  );
  const y = r.tensor(name, q.rows, q.cols);
  r.emit({ op: 'attention_cached', q, cache, heads, y });
  return y;
}

/** Softmax in f32 with an online maximum. */
export const attentionTolerance: Tolerance = { base: 4e-6, growth: 1e-7 };
