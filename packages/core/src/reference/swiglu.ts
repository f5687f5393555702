import { activate } from './activation.ts';
import { get, set, type Matrix } from './matrix.ts';

/** `y = silu(gate) * up`. */
export function swiglu(gate: Matrix, up: Matrix, y: Matrix): void {
  for (let r = 0; r < y.rows; r++) {
    for (let c = 0; c < y.cols; c++) set(y, r, c, activate('silu', get(gate, r, c)) * get(up, r, c));
  }
}
