import { get, set, type Matrix } from './matrix.ts';

/** `y = [cls; patches] + pos`, or `patches + pos` without a class token; cls `[width]`, pos as many rows as y. */
export function assembleCls(patches: Matrix, cls: Float64Array | null, pos: Float64Array, y: Matrix): void {
  for (let r = 0; r < y.rows; r++) {
    for (let c = 0; c < y.cols; c++) {
      const value = cls ? (r === 0 ? cls[c] : get(patches, r - 1, c)) : get(patches, r, c);
      set(y, r, c, value + pos[r * y.cols + c]);
    }
  }
}
