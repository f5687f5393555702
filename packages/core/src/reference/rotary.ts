import { get, set, type Matrix } from './matrix.ts';

/**
 * Rotary positions in place on x `[rows, heads * headDim]`: pairs (i, i + headDim/2) of a head, row r at position
 * `pos + r`, frequency `theta^(-2i/headDim)`. The frequencies are f32 values, as in every published LLaMA (a model is
 * trained with them); the angle and the rotation are float64.
 */
export function rotary(x: Matrix, heads: number, headDim: number, theta: number, pos: number): void {
  const half = headDim / 2;
  for (let r = 0; r < x.rows; r++) {
    for (let i = 0; i < half; i++) {
      const angle = (pos + r) * Math.fround(theta ** ((-2 * i) / headDim));
      const cos = Math.cos(angle);
      const sin = Math.sin(angle);
      for (let h = 0; h < heads; h++) {
        const a = get(x, r, h * headDim + i);
        const b = get(x, r, h * headDim + i + half);
        set(x, r, h * headDim + i, a * cos - b * sin);
        set(x, r, h * headDim + i + half, b * cos + a * sin);
      }
    }
  }
}
