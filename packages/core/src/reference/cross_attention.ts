import { get, set, type Matrix } from './matrix.ts';
import { softmax } from './softmax.ts';

/** One head: `map = softmax(q k^T / sqrt(width))` `[nq, nk]`, `y = map v` `[nq, width]`. */
export function crossAttention(q: Matrix, k: Matrix, v: Matrix, map: Matrix, y: Matrix): void {
  for (let r = 0; r < q.rows; r++) {
    const scores = new Float64Array(k.rows);
    for (let t = 0; t < k.rows; t++) {
      let dot = 0;
      for (let c = 0; c < q.cols; c++) dot += get(q, r, c) * get(k, t, c);
      scores[t] = dot / Math.sqrt(q.cols);
    }
    softmax(scores);
    for (let t = 0; t < k.rows; t++) set(map, r, t, scores[t]);
    for (let c = 0; c < v.cols; c++) {
      let sum = 0;
      for (let t = 0; t < k.rows; t++) sum += scores[t] * get(v, t, c);
      set(y, r, c, sum);
    }
  }
}
