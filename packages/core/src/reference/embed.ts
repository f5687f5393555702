import { get, set, type Matrix } from './matrix.ts';

/** `y[i] = w[ids[i]]`; ids `[rows, 1]`, w `[vocab, width]`. */
export function embed(ids: Matrix, w: Matrix, y: Matrix): void {
  for (let r = 0; r < y.rows; r++) {
    const id = get(ids, r, 0);
    if (!(id >= 0 && id < w.rows)) throw new RangeError(`id ${id} of ${w.rows}`);
    for (let c = 0; c < y.cols; c++) set(y, r, c, get(w, id, c));
  }
}
