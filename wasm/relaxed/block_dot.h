/* Dot products of 32 codes, relaxed SIMD: four consecutive int8 activations, repeated for four rows, times 4-bit codes.
 * form 2 (0x112): eight dots are added in i16 (at most 8*2*127*15 = 30480), then one pairwise add makes i32.
 * form 4 (0x113): sums in i32 at once, better where the chip has a 4-way dot. */
#ifndef LLAVA_SP_BLOCK_DOT_H
#define LLAVA_SP_BLOCK_DOT_H
#include "block_dot_q8.h"

#define Q4_ACT_BYTES 1
#define CODE_MASK low_bytes

INLINE v128_t low_nibbles(v128_t w, v128_t mask) { return wasm_v128_and(w, mask); }
INLINE v128_t high_nibbles(v128_t w, v128_t mask) { return wasm_v128_and(wasm_u16x8_shr(w, 4), mask); }

/* d[2s + h]: i32 sums of 4 rows of stream s. */
INLINE void gemv_block(const uint8_t *const *p, const uint8_t *x, v128_t *d, v128_t mask, const int bits, const int form) {
  if (bits == 8) {
    gemv_block_q8(p, x, d);
    return;
  }
  v128_t x16 = load(x);
  UNROLL for (int j = 0; j < 4; j++) {
    if (j == 2) x16 = load(x + 16);
    v128_t x0 = lane_splat(x16, j % 2 * 2), x1 = lane_splat(x16, j % 2 * 2 + 1);
    UNROLL for (int s = 0; s < 8; s++) {
      v128_t w = load(p[s / 2] + j * 32 + (s & 1) * 16);
      if (form == 4) {
        d[s] = dot4_i8(x0, low_nibbles(w, mask), j ? d[s] : zero());
        PIN(d[s]);
        d[s] = dot4_i8(x1, high_nibbles(w, mask), d[s]);
      } else {
        d[s] = j ? wasm_i16x8_add(d[s], dot2_i8(x0, low_nibbles(w, mask))) : dot2_i8(x0, low_nibbles(w, mask));
        PIN(d[s]);
        d[s] = wasm_i16x8_add(d[s], dot2_i8(x1, high_nibbles(w, mask)));
      }
      PIN(d[s]);
    }
  }
  if (form != 4) {
    UNROLL for (int s = 0; s < 8; s++) d[s] = wasm_i32x4_extadd_pairwise_i16x8(d[s]);
  }
}

/* d[2m + h]: i32 sums of 4 weight rows for activation row m; `row` and `step` are bytes between rows and between fours. */
INLINE void gemm_block(const uint8_t *w, const uint8_t *x, uint32_t row, uint32_t step, v128_t *d, v128_t mask, const int bits, const int mr) {
  if (bits == 8) {
    gemm_block_q8(w, x, row, step, d, mr);
    return;
  }
  UNROLL for (int i = 0; i < 2 * mr; i++) d[i] = zero();
  UNROLL for (int j = 0; j < 4; j++) {
    v128_t wl = load(w + j * 32), wh = load(w + j * 32 + 16);
    UNROLL for (int u = 0; u < 2; u++) {
      v128_t w0 = u ? high_nibbles(wl, mask) : low_nibbles(wl, mask), w1 = u ? high_nibbles(wh, mask) : low_nibbles(wh, mask);
      /* half by loads, half by shuffles: each has a port of its own */
      v128_t x4 = mr == 4 ? load(x + (j * 2 + u) * step) : zero();
      UNROLL for (int m = 0; m < mr; m++) {
        v128_t xv = mr == 4 && m >= 2 ? lane_splat(x4, m) : wasm_v128_load32_splat(x + (j * 2 + u) * step + m * row);
        d[2 * m] = wasm_i16x8_add(d[2 * m], dot2_i8(xv, w0));
        d[2 * m + 1] = wasm_i16x8_add(d[2 * m + 1], dot2_i8(xv, w1));
        PIN(d[2 * m]); PIN(d[2 * m + 1]);
      }
    }
  }
  UNROLL for (int i = 0; i < 2 * mr; i++) d[i] = wasm_i32x4_extadd_pairwise_i16x8(d[i]);
}
#endif
