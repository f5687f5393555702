/* 32 codes of q8 weights by int16 products, in both variants (relaxed dots take 7-bit weights only). */
#ifndef LLAVA_SP_BLOCK_DOT_Q8_H
#define LLAVA_SP_BLOCK_DOT_Q8_H
#include "simd.h"

INLINE v128_t dot_add(v128_t x, v128_t w, v128_t c) { return wasm_i32x4_add(c, wasm_i32x4_dot_i16x8(x, w)); }

INLINE void gemv_block_q8(const uint8_t *const *p, const uint8_t *x, v128_t *d) {
  UNROLL for (int t = 0; t < 16; t++) {
    v128_t xv = wasm_v128_load32_splat(x + t * 4);
    UNROLL for (int s = 0; s < 8; s++) {
      v128_t w = wasm_i16x8_load8x8(p[s / 2] + t * 16 + (s & 1) * 8);
      d[s] = t ? dot_add(xv, w, d[s]) : wasm_i32x4_dot_i16x8(xv, w);
      PIN(d[s]);
    }
  }
}

INLINE void gemm_block_q8(const uint8_t *w, const uint8_t *x, uint32_t row, uint32_t step, v128_t *d, const int mr) {
  UNROLL for (int i = 0; i < 2 * mr; i++) d[i] = zero();
  UNROLL for (int t = 0; t < 16; t++) {
    v128_t w0 = wasm_i16x8_load8x8(w + t * 16), w1 = wasm_i16x8_load8x8(w + t * 16 + 8);
    UNROLL for (int m = 0; m < mr; m++) {
      v128_t xv = wasm_v128_load32_splat(x + t * step + m * row);
      d[2 * m] = dot_add(xv, w0, d[2 * m]);
      d[2 * m + 1] = dot_add(xv, w1, d[2 * m + 1]);
      PIN(d[2 * m]); PIN(d[2 * m + 1]);
    }
  }
}
#endif
