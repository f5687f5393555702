/* exp and the activation functions on four lanes; each within a few units in the last place of f32. */
#ifndef LLAVA_SP_MATH_H
#define LLAVA_SP_MATH_H
#include "simd.h"

/* e^x: x = n ln2 + r, a polynomial of degree 6 in r, n put into the exponent. Clamped to [-87.3, 88]; NaN stays NaN. */
INLINE v128_t exp_f32x4(v128_t x) {
  const v128_t magic = wasm_f32x4_const_splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
  x = wasm_f32x4_pmin(x, wasm_f32x4_const_splat(88.0f));
  x = wasm_f32x4_pmax(x, wasm_f32x4_const_splat(-87.3f));
  v128_t z = fma_f32x4(x, wasm_f32x4_const_splat(1.44269504088896341f), magic);
  v128_t n = wasm_f32x4_sub(z, magic);
  v128_t r = fma_f32x4(n, wasm_f32x4_const_splat(-0.693359375f), x);
  r = fma_f32x4(n, wasm_f32x4_const_splat(2.12194440e-4f), r);
  v128_t p = wasm_f32x4_const_splat(1.9875691500e-4f);
  p = fma_f32x4(p, r, wasm_f32x4_const_splat(1.3981999507e-3f));
  p = fma_f32x4(p, r, wasm_f32x4_const_splat(8.3334519073e-3f));
  p = fma_f32x4(p, r, wasm_f32x4_const_splat(4.1665795894e-2f));
  p = fma_f32x4(p, r, wasm_f32x4_const_splat(1.6666665459e-1f));
  p = fma_f32x4(p, r, wasm_f32x4_const_splat(5.0000001201e-1f));
  p = fma_f32x4(p, wasm_f32x4_mul(r, r), r);
  p = wasm_f32x4_add(p, wasm_f32x4_const_splat(1.0f));
  /* magic's low nine bits are zero, so that the shift leaves n alone in the exponent */
  v128_t scale = wasm_i32x4_add(wasm_i32x4_shl(z, 23), wasm_i32x4_const_splat(0x3f800000));
  return wasm_f32x4_mul(p, scale);
}

INLINE v128_t times_sigmoid(v128_t x, v128_t u) {
  v128_t one = wasm_f32x4_const_splat(1.0f);
  return wasm_f32x4_div(x, wasm_f32x4_add(one, exp_f32x4(wasm_f32x4_neg(u))));
}

INLINE v128_t silu_f32x4(v128_t x) { return times_sigmoid(x, x); }

INLINE v128_t quick_gelu_f32x4(v128_t x) { return times_sigmoid(x, wasm_f32x4_mul(x, wasm_f32x4_const_splat(1.702f))); }

/* 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
INLINE v128_t gelu_tanh_f32x4(v128_t x) {
  v128_t x2 = wasm_f32x4_mul(x, x);
  v128_t u = fma_f32x4(x2, wasm_f32x4_const_splat(0.07135481282f), wasm_f32x4_const_splat(1.5957691216f));
  return times_sigmoid(x, wasm_f32x4_mul(x, u));
}

/* x Phi(x), by erfc(z) = exp(-z^2) P(1/(1 + 0.45 z)) for z = |x|/sqrt2 (own minimax fit, 1.8e-7 relative in f32):
 * Phi(-|x|) = erfc/2 keeps its relative accuracy in the tail. */
INLINE v128_t gelu_erf_f32x4(v128_t x) {
  const v128_t one = wasm_f32x4_const_splat(1.0f), half = wasm_f32x4_const_splat(0.5f);
  v128_t z = wasm_f32x4_mul(wasm_f32x4_abs(x), wasm_f32x4_const_splat(0.70710678118f));
  v128_t t = wasm_f32x4_div(one, fma_f32x4(z, wasm_f32x4_const_splat(0.45f), one));
  v128_t p = wasm_f32x4_const_splat(-0.03369048237800598f);
  p = fma_f32x4(p, t, wasm_f32x4_const_splat(0.14965663850307465f));
  p = fma_f32x4(p, t, wasm_f32x4_const_splat(-0.20657476782798767f));
  p = fma_f32x4(p, t, wasm_f32x4_const_splat(0.021254219114780426f));
  p = fma_f32x4(p, t, wasm_f32x4_const_splat(0.07406274229288101f));
  p = fma_f32x4(p, t, wasm_f32x4_const_splat(0.07098861038684845f));
  p = fma_f32x4(p, t, wasm_f32x4_const_splat(0.19105342030525208f));
  p = fma_f32x4(p, t, wasm_f32x4_const_splat(0.2251574695110321f));
  p = fma_f32x4(p, t, wasm_f32x4_const_splat(0.2542223632335663f));
  p = fma_f32x4(p, t, wasm_f32x4_const_splat(0.25386977195739746f));
  v128_t e = exp_f32x4(wasm_f32x4_mul(wasm_f32x4_mul(x, x), wasm_f32x4_const_splat(-0.5f)));
  v128_t tail = wasm_f32x4_mul(wasm_f32x4_mul(wasm_f32x4_mul(p, t), e), half);
  v128_t phi = wasm_v128_bitselect(wasm_f32x4_sub(one, tail), tail, wasm_f32x4_ge(x, zero()));
  return wasm_f32x4_mul(x, phi);
}

enum { ACT_NONE, ACT_GELU_ERF, ACT_QUICK_GELU, ACT_GELU_TANH, ACT_SILU };

/* Out of line: one copy for the many epilogues. */
v128_t activate(v128_t x, uint32_t act);
#endif
