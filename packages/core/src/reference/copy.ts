import { dense, set, type Matrix } from './matrix.ts';

/** `y = x`, between views of different strides. */
export function copy(x: Matrix, y: Matrix): void {
  const values = dense(x);
  for (let r = 0; r < y.rows; r++) for (let c = 0; c < y.cols; c++) set(y, r, c, values[r * x.cols + c]);
}
