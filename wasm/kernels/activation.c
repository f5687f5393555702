/* activation: y = act(x) on [rows, cols]; act: 0 none, 1 gelu_erf, 2 quick_gelu, 3 gelu_tanh, 4 silu, 5 relu; y may be x. */
#include "math.h"

/* x Phi(x), by erfc(z) = exp(-z^2) P(1/(1 + 0.45 z)) for z = |x|/sqrt2 (own minimax fit, 1.8e-7 relative in f32):
 * Phi(-|x|) = erfc/2 keeps its relative accuracy in the tail. */
static void gelu_erf(float *y, const float *x, uint32_t n) {
  const struct exp_constants k = exp_constants();
  const v128_t half = HELD(half);
  v128_t c[12];
  UNROLL for (int i = 0; i < 12; i++) c[i] = HELD(gelu_erf_p[i]);
  for (uint32_t i = 0; i < n; i += 4) {
    v128_t v = load(x + i), z = wasm_f32x4_mul(wasm_f32x4_abs(v), c[0]);
    v128_t t = wasm_f32x4_div(k.one, fma_f32x4(z, c[1], k.one)), p = c[2];
    UNROLL for (int j = 3; j < 12; j++) p = fma_f32x4(p, t, c[j]);
    v128_t e = exp_f32x4(wasm_v128_xor(wasm_f32x4_mul(wasm_f32x4_mul(v, v), half), k.sign), &k);
    v128_t tail = wasm_f32x4_mul(wasm_f32x4_mul(wasm_f32x4_mul(p, t), e), half);
    v128_t phi = wasm_v128_bitselect(wasm_f32x4_sub(k.one, tail), tail, wasm_f32x4_ge(v, zero()));
    store(y + i, wasm_f32x4_mul(v, phi));
  }
}

/* x sigmoid(u(x)): silu has u = x, quick-GELU 1.702 x, tanh-GELU 2 sqrt(2/pi) (x + 0.044715 x^3). */
static void sigmoids(float *y, const float *x, uint32_t n, uint32_t act) {
  const struct exp_constants k = exp_constants();
  const v128_t cubic = act == ACT_GELU_TANH ? HELD(gelu_tanh_p[0]) : zero();
  const v128_t linear = act == ACT_GELU_TANH ? HELD(gelu_tanh_p[1]) : act == ACT_QUICK_GELU ? HELD(quick) : k.one;
  for (uint32_t i = 0; i < n; i += 4) {
    v128_t v = load(x + i);
    v128_t slope = act == ACT_GELU_TANH ? fma_f32x4(wasm_f32x4_mul(v, v), cubic, linear) : linear;
    store(y + i, times_sigmoid(v, wasm_f32x4_mul(v, slope), &k));
  }
}

/* NaN stays NaN: max gives it back. */
static void relu(float *y, const float *x, uint32_t n) {
  for (uint32_t i = 0; i < n; i += 4) store(y + i, wasm_f32x4_max(load(x + i), zero()));
}

static void activate4(float *y, const float *x, uint32_t n, uint32_t act) {
  if (act == ACT_GELU_ERF) gelu_erf(y, x, n);
  else if (act == ACT_RELU) relu(y, x, n);
  else sigmoids(y, x, n, act);
}

void activate(float *y, const float *x, uint32_t n, uint32_t act) {
  if (act == ACT_NONE) {
    if (y != x) __builtin_memmove(y, x, n * 4);
    return;
  }
  uint32_t whole = n & ~3u;
  if (whole) activate4(y, x, whole, act);
  if (whole == n) return;
  float last[4] = {0, 0, 0, 0};
  __builtin_memcpy(last, x + whole, (n - whole) * 4);
  activate4(last, last, 4, act);
  __builtin_memcpy(y + whole, last, (n - whole) * 4);
}

void activation(const struct activation_args *a) {
  for (uint32_t r = 0; r < a->rows; r++)
    activate((float *)a->y + (size_t)r * a->ldy, (const float *)a->x + (size_t)r * a->ldx, a->cols, a->act);
}
