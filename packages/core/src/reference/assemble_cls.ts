import { get, set, type Matrix } from './matrix.ts';

/** `y[0] = cls + pos[0]`, `y[1 + i] = patches[i] + pos[1 + i]`; cls `[width]`, pos `[1 + patches, width]`. */
export function assembleCls(patches: Matrix, cls: Float64Array, pos: Float64Array, y: Matrix): void {
  for (let r = 0; r < y.rows; r++) {
    for (let c = 0; c < y.cols; c++) {
      set(y, r, c, (r === 0 ? cls[c] : get(patches, r - 1, c)) + pos[r * y.cols + c]);
    }
  }
}
