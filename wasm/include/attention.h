/* Flash-style attention on tiles of up to four queries: keys pass in blocks of 64, the softmax is kept online
 * (running maximum and sum), so that no [queries, keys] matrix exists.
 *
 * Keys lie as [key/8][d][8] (eight keys side by side), so that a score needs no sum across lanes; values as [key][d]. */
#ifndef LLAVA_SP_ATTENTION_H
#define LLAVA_SP_ATTENTION_H
#include "math.h"
#include "tile8.h"

#define KEYS 64
#define MAX_D 512
#define NEG_INF (-__builtin_inff())

struct attention_tile {
  float q[4][MAX_D], o[4][MAX_D], s[4][KEYS];
};

/* mr queries; query m sees keys [0, seen[m]), seen[m] >= 1. Reads keys up to the next multiple of 8 (what lies past seen is
 * ignored). */
INLINE void attention_mr(struct attention_tile *t, const float *const *q, const float *keys, const float *values, uint32_t d,
                         const uint32_t *seen, float scale, float *const *y, const int mr) {
  const struct exp_constants k = exp_constants();
  const v128_t masked = wasm_f32x4_splat(NEG_INF);
  const float *qs[4], *ps[4];
  float top[4], sum[4];
  uint32_t last = 0;
  for (int m = 0; m < mr; m++) {
    for (uint32_t i = 0; i < d; i++) t->q[m][i] = q[m][i] * scale, t->o[m][i] = 0;
    top[m] = NEG_INF, sum[m] = 0, qs[m] = t->q[m], ps[m] = t->s[m];
    if (seen[m] > last) last = seen[m];
  }
  for (uint32_t k0 = 0; k0 < last; k0 += KEYS) {
    uint32_t n = last - k0 < KEYS ? last - k0 : KEYS;
    for (uint32_t o = 0; o < n; o += 8) {
      v128_t acc[8];
      UNROLL for (int i = 0; i < 2 * mr; i++) acc[i] = zero();
      tile8(acc, qs, keys + (size_t)(k0 + o) * d, 8, d, mr);
      UNROLL for (int m = 0; m < mr; m++) store(&t->s[m][o], acc[2 * m]), store(&t->s[m][o + 4], acc[2 * m + 1]);
    }
    for (int m = 0; m < mr; m++) {
      float *s = t->s[m];
      uint32_t mine = seen[m] <= k0 ? 0 : seen[m] - k0 < n ? seen[m] - k0 : n;
      for (uint32_t i = mine; i < ((n + 7) & ~7u); i++) s[i] = NEG_INF;
      if (mine == 0) { /* a causal tile's earlier rows are done before its last block */
        for (uint32_t i = 0; i < n; i++) s[i] = 0;
        continue;
      }
      v128_t vt = wasm_f32x4_splat(top[m]);
      for (uint32_t i = 0; i < n; i += 4) vt = wasm_f32x4_pmax(vt, load(s + i));
      float new_top = max_f32x4(vt);
      v128_t vs = zero(), base = wasm_f32x4_splat(new_top);
      for (uint32_t i = 0; i < n; i += 4) {
        v128_t v = load(s + i);
        v128_t p = exp_f32x4(wasm_f32x4_sub(v, base), &k);
        p = wasm_v128_andnot(p, wasm_f32x4_eq(v, masked)); /* exp is clamped: masked keys weigh 0 */
        store(s + i, p);
        vs = wasm_f32x4_add(vs, p);
      }
      float keep = top[m] == NEG_INF ? 0.0f : wasm_f32x4_extract_lane(exp_f32x4(wasm_f32x4_splat(top[m] - new_top), &k), 0);
      sum[m] = sum[m] * keep + sum_f32x4(vs);
      top[m] = new_top;
      if (keep != 1.0f)
        for (uint32_t i = 0; i < d; i++) t->o[m][i] *= keep;
    }
    const float *vp = values + (size_t)k0 * d;
    uint32_t c = 0;
    for (; c + 8 <= d; c += 8) {
      v128_t acc[8];
      UNROLL for (int m = 0; m < mr; m++) acc[2 * m] = load(&t->o[m][c]), acc[2 * m + 1] = load(&t->o[m][c + 4]);
      tile8(acc, ps, vp + c, d, n, mr);
      UNROLL for (int m = 0; m < mr; m++) store(&t->o[m][c], acc[2 * m]), store(&t->o[m][c + 4], acc[2 * m + 1]);
    }
    for (; c < d; c++)
      for (int m = 0; m < mr; m++)
        for (uint32_t i = 0; i < n; i++) t->o[m][c] += t->s[m][i] * vp[(size_t)i * d + c];
  }
  for (int m = 0; m < mr; m++)
    for (uint32_t i = 0; i < d; i++) y[m][i] = t->o[m][i] / sum[m];
}

/* Defined once, in attention.c: mr 1..4. */
void attention_queries(const float *const *q, const float *keys, const float *values, uint32_t d, const uint32_t *seen,
                       float scale, float *const *y, uint32_t mr);
#endif
