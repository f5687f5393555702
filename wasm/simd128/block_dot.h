/* Dot products of 32 codes, plain SIMD128. q4: a 16-bit lane of weights holds four codes, which a shift and a mask take out
 * one at a time as int16; i32x4.dot_i16x8 then adds the two lanes of a row. Activations are int16, in the order of q16. */
#ifndef LLAVA_SP_BLOCK_DOT_H
#define LLAVA_SP_BLOCK_DOT_H
#include "block_dot_q8.h"

#define Q4_ACT_BYTES 2
#define CODE_MASK low_halves

/* Code u (0..3) of each 16-bit lane: k offsets (0,2), (4,6), (1,3), (5,7) of a row's two lanes. */
INLINE v128_t nibble(v128_t w, v128_t mask, const int u) {
  if (u == 3) return wasm_u16x8_shr(w, 12);
  return wasm_v128_and(u ? wasm_u16x8_shr(w, u * 4) : w, mask);
}

/* d[2s + h]: i32 sums of 4 rows of stream s. */
INLINE void gemv_block(const uint8_t *const *p, const uint8_t *x, v128_t *d, v128_t mask, const int bits, const int form) {
  (void)form;
  if (bits == 8) {
    gemv_block_q8(p, x, d);
    return;
  }
  UNROLL for (int j = 0; j < 4; j++) {
    v128_t x16 = load(x + j * 16), xv[4];
    UNROLL for (int u = 0; u < 4; u++) xv[u] = lane_splat(x16, u);
    UNROLL for (int s = 0; s < 8; s++) {
      v128_t w = load(p[s / 2] + j * 32 + (s & 1) * 16);
      UNROLL for (int u = 0; u < 4; u++) {
        v128_t c = nibble(w, mask, u);
        d[s] = j || u ? dot_add(xv[u], c, d[s]) : wasm_i32x4_dot_i16x8(xv[u], c);
        PIN(d[s]);
      }
    }
  }
}

/* d[2m + h]: i32 sums of 4 weight rows for activation row m; `row` and `step` are bytes between rows and between pairs. */
INLINE void gemm_block(const uint8_t *w, const uint8_t *x, uint32_t row, uint32_t step, v128_t *d, v128_t mask, const int bits, const int mr) {
  if (bits == 8) {
    gemm_block_q8(w, x, row, step, d, mr);
    return;
  }
  UNROLL for (int i = 0; i < 2 * mr; i++) d[i] = zero();
  UNROLL for (int j = 0; j < 4; j++) {
    v128_t wl = load(w + j * 32), wh = load(w + j * 32 + 16);
    UNROLL for (int u = 0; u < 4; u++) {
      v128_t w0 = nibble(wl, mask, u), w1 = nibble(wh, mask, u);
      /* half by loads, half by shuffles: each has a port of its own */
      v128_t x4 = mr == 4 ? load(x + (j * 4 + u) * step) : zero();
      UNROLL for (int m = 0; m < mr; m++) {
        v128_t xv = mr == 4 && m >= 2 ? lane_splat(x4, m) : wasm_v128_load32_splat(x + (j * 4 + u) * step + m * row);
        d[2 * m] = dot_add(xv, w0, d[2 * m]);
        d[2 * m + 1] = dot_add(xv, w1, d[2 * m + 1]);
        PIN(d[2 * m]); PIN(d[2 * m + 1]);
      }
    }
  }
}
#endif
