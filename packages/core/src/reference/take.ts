import { dense, get, set, type Matrix } from './matrix.ts';

/** `y[i] = table[ids[i]]`; ids `[rows, 1]`. Ids past the end take the last row. */
export function take(table: Matrix, ids: Matrix, y: Matrix): void {
  const values = dense(table);
  for (let r = 0; r < y.rows; r++) {
    const id = Math.min(get(ids, r, 0), table.rows - 1);
    for (let c = 0; c < y.cols; c++) set(y, r, c, values[id * table.cols + c]);
  }
}
