/* Dot products of 32 codes, relaxed SIMD: four consecutive int8 activations, repeated for four rows, times 4-bit codes.
 * form 2 (0x112): eight dots are added in i16 (at most 8*2*127*15 = 30480), then one pairwise add makes i32.
 * form 4 (0x113): sums in i32 at once, better where the chip has a 4-way dot. */
#ifndef LLAVA_SP_BLOCK_DOT_H
#define LLAVA_SP_BLOCK_DOT_H
#include "block_dot_q8.h"

#define Q4_ACT_BYTES 1

INLINE v128_t low_nibbles(v128_t w) { return wasm_v128_and(w, wasm_i8x16_const_splat(15)); }
INLINE v128_t high_nibbles(v128_t w) { return wasm_v128_and(wasm_u16x8_shr(w, 4), wasm_i8x16_const_splat(15)); }

INLINE v128_t dot_form(v128_t x, v128_t w, v128_t c, const int form) {
  return form == 4 ? dot4_i8(x, w, c) : wasm_i16x8_add(c, dot2_i8(x, w));
}

/* d[2s + h]: i32 sums of 4 rows of stream s. */
INLINE void gemv_block(const uint8_t *const *p, const uint8_t *x, v128_t *d, const int bits, const int streams, const int form) {
  if (bits == 8) {
    gemv_block_q8(p, x, d, streams);
    return;
  }
  _Pragma("clang loop unroll(full)") for (int s = 0; s < 2 * streams; s++) d[s] = zero();
  _Pragma("clang loop unroll(full)") for (int j = 0; j < 4; j++) {
    v128_t x0 = wasm_v128_load32_splat(x + j * 8), x1 = wasm_v128_load32_splat(x + j * 8 + 4);
    _Pragma("clang loop unroll(full)") for (int s = 0; s < 2 * streams; s++) {
      v128_t w = load(p[s / 2] + j * 32 + (s & 1) * 16);
      d[s] = dot_form(x0, low_nibbles(w), d[s], form);
      d[s] = dot_form(x1, high_nibbles(w), d[s], form);
    }
  }
  if (form != 4) {
    _Pragma("clang loop unroll(full)") for (int s = 0; s < 2 * streams; s++) d[s] = wasm_i32x4_extadd_pairwise_i16x8(d[s]);
  }
}

/* d[2m + h]: i32 sums of 4 weight rows for activation row m; `row` and `step` are bytes between rows and between fours. */
INLINE void gemm_block(const uint8_t *w, const uint8_t *x, uint32_t row, uint32_t step, v128_t *d, const int bits, const int mr) {
  if (bits == 8) {
    gemm_block_q8(w, x, row, step, d, mr);
    return;
  }
  _Pragma("clang loop unroll(full)") for (int i = 0; i < 2 * mr; i++) d[i] = zero();
  _Pragma("clang loop unroll(full)") for (int j = 0; j < 4; j++) {
    v128_t wl = load(w + j * 32), wh = load(w + j * 32 + 16);
    _Pragma("clang loop unroll(full)") for (int u = 0; u < 2; u++) {
      v128_t w0 = u ? high_nibbles(wl) : low_nibbles(wl), w1 = u ? high_nibbles(wh) : low_nibbles(wh);
      _Pragma("clang loop unroll(full)") for (int m = 0; m < mr; m++) {
        v128_t xv = wasm_v128_load32_splat(x + (j * 2 + u) * step + m * row);
        d[2 * m] = wasm_i16x8_add(d[2 * m], dot2_i8(xv, w0));
        d[2 * m + 1] = wasm_i16x8_add(d[2 * m + 1], dot2_i8(xv, w1));
        PIN(d[2 * m]); PIN(d[2 * m + 1]);
      }
    }
  }
  _Pragma("clang loop unroll(full)") for (int i = 0; i < 2 * mr; i++) d[i] = wasm_i32x4_extadd_pairwise_i16x8(d[i]);
}
#endif
