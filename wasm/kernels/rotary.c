/* rotary: x [rows, heads, d] in place; pairs (i, i + d/2) turn by (*pos + r) * inv_freq[i].
 * The angle and its reduction by multiples of pi/2 are f64 (angles reach the context length), sine and cosine f32. d <= 512. */
#include "simd.h"

#define MAX_HALF 256

/* Two angles reduced to [-pi/4, pi/4]; *quadrant gets the multiple of pi/2 in its low bits. */
INLINE v128_t reduce(v128_t angle, v128_t *quadrant) {
  v128_t n = wasm_f64x2_nearest(wasm_f64x2_mul(angle, wasm_f64x2_const_splat(0.63661977236758134308)));
  v128_t r = wasm_f64x2_sub(angle, wasm_f64x2_mul(n, wasm_f64x2_const_splat(1.5707963267948966)));
  *quadrant = wasm_i32x4_trunc_sat_f64x2_zero(n);
  return wasm_f32x4_demote_f64x2_zero(r);
}

/* Table of cos and sin for position p: d/2 values each. */
static void table(float *cosine, float *sine, const float *inv_freq, uint32_t half, uint32_t p) {
  v128_t vp = wasm_f64x2_splat((double)p);
  for (uint32_t i = 0; i < half; i += 4) {
    float f[4] = {0, 0, 0, 0};
    for (uint32_t j = 0; j < 4 && i + j < half; j++) f[j] = inv_freq[i + j];
    v128_t q0, q1, vf = load(f);
    v128_t r0 = reduce(wasm_f64x2_mul(wasm_f64x2_promote_low_f32x4(vf), vp), &q0);
    v128_t r1 = reduce(wasm_f64x2_mul(wasm_f64x2_promote_low_f32x4(wasm_i32x4_shuffle(vf, vf, 2, 3, 2, 3)), vp), &q1);
    v128_t r = wasm_i32x4_shuffle(r0, r1, 0, 1, 4, 5), q = wasm_i32x4_shuffle(q0, q1, 0, 1, 4, 5);
    v128_t z = wasm_f32x4_mul(r, r);
    v128_t s = fma_f32x4(z, wasm_f32x4_const_splat(-1.9515295891e-4f), wasm_f32x4_const_splat(8.3321608736e-3f));
    s = fma_f32x4(s, z, wasm_f32x4_const_splat(-1.6666654611e-1f));
    s = fma_f32x4(wasm_f32x4_mul(s, z), r, r);
    v128_t c = fma_f32x4(z, wasm_f32x4_const_splat(2.443315711809948e-5f), wasm_f32x4_const_splat(-1.388731625493765e-3f));
    c = fma_f32x4(c, z, wasm_f32x4_const_splat(4.166664568298827e-2f));
    c = fma_f32x4(c, wasm_f32x4_mul(z, z), fma_f32x4(z, wasm_f32x4_const_splat(-0.5f), wasm_f32x4_const_splat(1.0f)));
    v128_t odd = wasm_i32x4_ne(wasm_v128_and(q, wasm_i32x4_const_splat(1)), zero());
    v128_t sign_s = wasm_i32x4_shl(wasm_v128_and(q, wasm_i32x4_const_splat(2)), 30);
    v128_t sign_c = wasm_i32x4_shl(wasm_v128_and(wasm_i32x4_add(q, wasm_i32x4_const_splat(1)), wasm_i32x4_const_splat(2)), 30);
    store(sine + i, wasm_v128_xor(wasm_v128_bitselect(c, s, odd), sign_s));
    store(cosine + i, wasm_v128_xor(wasm_v128_bitselect(s, c, odd), sign_c));
  }
}

void rotary(const struct rotary_args *a) {
  float cosine[MAX_HALF], sine[MAX_HALF];
  uint32_t half = a->d / 2, pos = *(const uint32_t *)a->pos;
  for (uint32_t r = 0; r < a->rows; r++) {
    table(cosine, sine, a->inv_freq, half, pos + r);
    for (uint32_t h = 0; h < a->heads; h++) {
      float *x = (float *)a->x + (size_t)r * a->ldx + h * a->d, *y = x + half;
      uint32_t i = 0;
      for (; i + 4 <= half; i += 4) {
        v128_t u = load(x + i), v = load(y + i), c = load(cosine + i), s = load(sine + i);
        store(x + i, wasm_f32x4_sub(wasm_f32x4_mul(u, c), wasm_f32x4_mul(v, s)));
        store(y + i, wasm_f32x4_add(wasm_f32x4_mul(v, c), wasm_f32x4_mul(u, s)));
      }
      for (; i < half; i++) {
        float u = x[i], v = y[i];
        x[i] = u * cosine[i] - v * sine[i];
        y[i] = v * cosine[i] + u * sine[i];
      }
    }
  }
}
