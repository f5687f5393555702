/* Dot products of 32 codes, plain SIMD128. q4: a 16-bit lane of weights holds four codes, which a shift and a mask take out
 * one at a time as int16; i32x4.dot_i16x8 then adds the two lanes of a row. Activations are int16, in the order of q16. */
#ifndef LLAVA_SP_BLOCK_DOT_H
#define LLAVA_SP_BLOCK_DOT_H
#include "block_dot_q8.h"

#define Q4_ACT_BYTES 2

/* Code u (0..3) of each 16-bit lane: k offsets (0,2), (4,6), (1,3), (5,7) of a row's two lanes. */
INLINE v128_t nibble(v128_t w, const int u) {
  if (u == 3) return wasm_u16x8_shr(w, 12);
  return wasm_v128_and(u ? wasm_u16x8_shr(w, u * 4) : w, wasm_i16x8_const_splat(15));
}

/* d[2s + h]: i32 sums of 4 rows of stream s. */
INLINE void gemv_block(const uint8_t *const *p, const uint8_t *x, v128_t *d, const int bits, const int streams, const int form) {
  (void)form;
  if (bits == 8) {
    gemv_block_q8(p, x, d, streams);
    return;
  }
  _Pragma("clang loop unroll(full)") for (int s = 0; s < 2 * streams; s++) d[s] = zero();
  _Pragma("clang loop unroll(full)") for (int j = 0; j < 4; j++) {
    v128_t x0 = wasm_v128_load32_splat(x + j * 16), x1 = wasm_v128_load32_splat(x + j * 16 + 4);
    v128_t x2 = wasm_v128_load32_splat(x + j * 16 + 8), x3 = wasm_v128_load32_splat(x + j * 16 + 12);
    _Pragma("clang loop unroll(full)") for (int s = 0; s < 2 * streams; s++) {
      v128_t w = load(p[s / 2] + j * 32 + (s & 1) * 16);
      d[s] = dot_add(x0, nibble(w, 0), d[s]);
      d[s] = dot_add(x1, nibble(w, 1), d[s]);
      d[s] = dot_add(x2, nibble(w, 2), d[s]);
      d[s] = dot_add(x3, nibble(w, 3), d[s]);
    }
  }
}

/* d[2m + h]: i32 sums of 4 weight rows for activation row m; `row` and `step` are bytes between rows and between pairs. */
INLINE void gemm_block(const uint8_t *w, const uint8_t *x, uint32_t row, uint32_t step, v128_t *d, const int bits, const int mr) {
  if (bits == 8) {
    gemm_block_q8(w, x, row, step, d, mr);
    return;
  }
  _Pragma("clang loop unroll(full)") for (int i = 0; i < 2 * mr; i++) d[i] = zero();
  _Pragma("clang loop unroll(full)") for (int j = 0; j < 4; j++) {
    v128_t wl = load(w + j * 32), wh = load(w + j * 32 + 16);
    _Pragma("clang loop unroll(full)") for (int u = 0; u < 4; u++) {
      v128_t w0 = nibble(wl, u), w1 = nibble(wh, u);
      _Pragma("clang loop unroll(full)") for (int m = 0; m < mr; m++) {
        v128_t xv = wasm_v128_load32_splat(x + (j * 4 + u) * step + m * row);
        d[2 * m] = dot_add(xv, w0, d[2 * m]);
        d[2 * m + 1] = dot_add(xv, w1, d[2 * m + 1]);
        PIN(d[2 * m]); PIN(d[2 * m + 1]);
      }
    }
  }
}
#endif
