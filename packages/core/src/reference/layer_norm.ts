import { get, set, type Matrix } from './matrix.ts';

/** `y = (x - mean) / sqrt(var + eps) * w + b`, per row; var is the biased variance, in two passes. */
export function layerNorm(x: Matrix, w: Float64Array, b: Float64Array, eps: number, y: Matrix): void {
  for (let r = 0; r < x.rows; r++) {
    let sum = 0;
    for (let c = 0; c < x.cols; c++) sum += get(x, r, c);
    const mean = sum / x.cols;
    let squares = 0;
    for (let c = 0; c < x.cols; c++) squares += (get(x, r, c) - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / x.cols + eps);
    for (let c = 0; c < x.cols; c++) set(y, r, c, (get(x, r, c) - mean) * scale * w[c] + b[c]);
  }
}
