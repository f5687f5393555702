/* exp and the activation functions on four lanes; each within a few units in the last place of f32. */
#ifndef LLAVA_SP_MATH_H
#define LLAVA_SP_MATH_H
#include "simd.h"

/* The constants of exp_f32x4, loaded once before a loop (include/simd.h says why they are loaded at all). */
struct exp_constants {
  v128_t low, high, log2e, magic, ln2_high, ln2_low, p[6], one, sign;
};
INLINE struct exp_constants exp_constants(void) {
  struct exp_constants k = {HELD(exp_low),  HELD(exp_high),   HELD(log2e), HELD(magic), HELD(ln2_high), HELD(ln2_low),
                            {zero()},       HELD(one),        HELD(sign)};
  UNROLL for (int i = 0; i < 6; i++) k.p[i] = HELD(exp_p[i]);
  return k;
}

/* e^x: x = n ln2 + r, a polynomial of degree 7 in r (Cephes), n put into the exponent. Clamped to [-87.3, 88]; NaN stays. */
INLINE v128_t exp_f32x4(v128_t x, const struct exp_constants *k) {
  x = wasm_f32x4_pmax(wasm_f32x4_pmin(x, k->high), k->low);
  v128_t z = fma_f32x4(x, k->log2e, k->magic); /* adding 1.5 * 2^23 rounds to an integer */
  v128_t n = wasm_f32x4_sub(z, k->magic);
  v128_t r = fma_f32x4(n, k->ln2_low, fma_f32x4(n, k->ln2_high, x));
  v128_t p = fma_f32x4(k->p[0], r, k->p[1]);
  UNROLL for (int i = 2; i < 6; i++) p = fma_f32x4(p, r, k->p[i]);
  p = wasm_f32x4_add(fma_f32x4(p, wasm_f32x4_mul(r, r), r), k->one);
  /* magic's low nine bits are zero, so that the shift leaves n alone, in the place of the exponent */
  return wasm_f32x4_mul(p, wasm_i32x4_add(wasm_i32x4_shl(z, 23), k->one));
}

INLINE v128_t times_sigmoid(v128_t x, v128_t u, const struct exp_constants *k) {
  return wasm_f32x4_div(x, wasm_f32x4_add(k->one, exp_f32x4(wasm_v128_xor(u, k->sign), k)));
}

INLINE v128_t silu_f32x4(v128_t x, const struct exp_constants *k) { return times_sigmoid(x, x, k); }

enum { ACT_NONE, ACT_GELU_ERF, ACT_QUICK_GELU, ACT_GELU_TANH, ACT_SILU, ACT_RELU };

/* y = act(x), n values; y may be x. Out of line: one copy for the many epilogues. */
void activate(float *y, const float *x, uint32_t n, uint32_t act);
#endif
