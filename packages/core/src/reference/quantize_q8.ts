import { get, zeros, type Matrix } from './matrix.ts';

/** Values along k that share one activation scale. */
export const activationGroup = 32;

/** Scales below f32's normal range count as zero. */
const smallestNormal = 2 ** -126;

/**
 * The int8 rounding of activations in front of q8 and q4 weights, and back: x `[rows, k]`, k a multiple of 32. Each
 * group of 32 has `scale = max|x| / 127` and codes `round-half-to-even(x / scale)`, every operation rounded to f32 as
 * in the kernels (head of wasm/kernels/quantize_q8.c), so the codes are the same whenever x is the same f32 value. (A float64 x of a longer program may fall on the other side of a half than its f32 twin: compare such
 * programs with a tolerance of one code.)
 */
export function quantizeQ8(x: Matrix): Matrix {
  const y = zeros(x.rows, x.cols);
  for (let r = 0; r < x.rows; r++) {
    for (let begin = 0; begin < x.cols; begin += activationGroup) {
      const end = Math.min(begin + activationGroup, x.cols);
      let largest = 0;
      for (let c = begin; c < end; c++) largest = Math.max(largest, Math.abs(Math.fround(get(x, r, c))));
      const exact = Math.fround(largest / 127);
      const scale = exact < smallestNormal ? 0 : exact;
      for (let c = begin; c < end; c++) {
        const code = scale === 0 ? 0 : roundHalfToEven(Math.fround(Math.fround(get(x, r, c)) / scale));
        y.data[r * x.cols + c] = code * scale;
      }
    }
  }
  return y;
}

export function roundHalfToEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
