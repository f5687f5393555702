import { get, set, type Matrix } from './matrix.ts';

/** `y = x / sqrt(mean(x^2) + eps) * w`, per row. */
export function rmsNorm(x: Matrix, w: Float64Array, eps: number, y: Matrix): void {
  for (let r = 0; r < x.rows; r++) {
    let squares = 0;
    for (let c = 0; c < x.cols; c++) squares += get(x, r, c) ** 2;
    const scale = 1 / Math.sqrt(squares / x.cols + eps);
    for (let c = 0; c < x.cols; c++) set(y, r, c, get(x, r, c) * scale * w[c]);
  }
}
