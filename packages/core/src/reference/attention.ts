import { get, set, zeros, type Matrix } from './matrix.ts';
import { softmax } from './softmax.ts';

/** Bidirectional: per head `softmax(q k^T / sqrt(headDim)) v`; q, k, v, y `[rows, heads * headDim]`. */
export function attention(q: Matrix, k: Matrix, v: Matrix, heads: number, y: Matrix): void {
  const headDim = q.cols / heads;
  const result = zeros(y.rows, y.cols);
  for (let h = 0; h < heads; h++) {
    const first = h * headDim;
    for (let r = 0; r < q.rows; r++) {
      const scores = new Float64Array(k.rows);
      for (let t = 0; t < k.rows; t++) {
        let dot = 0;
        for (let c = first; c < first + headDim; c++) dot += get(q, r, c) * get(k, t, c);
        scores[t] = dot / Math.sqrt(headDim);
      }
      softmax(scores);
      for (let c = first; c < first + headDim; c++) {
        let sum = 0;
        for (let t = 0; t < k.rows; t++) sum += scores[t] * get(v, t, c);
        set(result, r, c, sum);
      }
    }
  }
  for (let r = 0; r < y.rows; r++) for (let c = 0; c < y.cols; c++) set(y, r, c, get(result, r, c));
}
