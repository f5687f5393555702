/* cross_attention: one head. map [nq, nk] = softmax(q k^T * scale), y [nq, dv] = map v; q [nq, d], k [nk, d], v [nk, dv];
 * rows of each lie ld* apart, so that a head is a view of its columns. map is written out (the paper's figure 5 shows it). */
#include "math.h"

INLINE float dot(const float *x, const float *y, uint32_t n) {
  v128_t s0 = zero(), s1 = zero();
  uint32_t i = 0;
  for (; i + 8 <= n; i += 8) {
    s0 = fma_f32x4(load(x + i), load(y + i), s0);
    s1 = fma_f32x4(load(x + i + 4), load(y + i + 4), s1);
  }
  float s = sum_f32x4(wasm_f32x4_add(s0, s1));
  for (; i < n; i++) s += x[i] * y[i];
  return s;
}

void cross_attention(const struct cross_attention_args *a) {
  const float *k = a->k, *v = a->v;
  const struct exp_constants constants = exp_constants();
  for (uint32_t r = 0; r < a->nq; r++) {
    const float *q = (const float *)a->q + (size_t)r * a->ldq;
    float *map = (float *)a->map + (size_t)r * a->ldmap, *y = (float *)a->y + (size_t)r * a->ldy;
    float top = -__builtin_inff(), sum = 0;
    for (uint32_t t = 0; t < a->nk; t++) {
      map[t] = dot(q, k + (size_t)t * a->ldk, a->d) * a->scale;
      if (map[t] > top) top = map[t];
    }
    for (uint32_t t = 0; t < a->nk; t++) {
      map[t] = wasm_f32x4_extract_lane(exp_f32x4(wasm_f32x4_splat(map[t] - top), &constants), 0);
      sum += map[t];
    }
    for (uint32_t i = 0; i < a->dv; i++) y[i] = 0;
    for (uint32_t t = 0; t < a->nk; t++) {
      map[t] /= sum;
      for (uint32_t i = 0; i < a->dv; i++) y[i] += map[t] * v[(size_t)t * a->ldv + i];
    }
  }
}
