/* y = act(sum*factor + bias) + res for 8 columns of a row, or as many as are left (include/epilogue.h). */
#include "epilogue.h"

void epilogue8(const struct epilogue *e, uint32_t row, uint32_t col, const float *sums, float factor) {
  float *y = e->y + (size_t)row * e->ldy + col;
  const float *res = e->res ? e->res + (size_t)row * e->ldres + col : 0, *bias = e->bias ? e->bias + col : 0;
  float v[8];
  if (col + 8 <= e->n) {
    for (uint32_t i = 0; i < 8; i += 4) {
      v128_t t = wasm_f32x4_mul(load(sums + i), wasm_f32x4_splat(factor));
      store(v + i, bias ? wasm_f32x4_add(t, load(bias + i)) : t);
    }
    if (e->act != ACT_NONE) activate(v, v, 8, e->act);
    for (uint32_t i = 0; i < 8; i += 4) store(y + i, res ? wasm_f32x4_add(load(v + i), load(res + i)) : load(v + i));
    return;
  }
  uint32_t n = e->n - col;
  for (uint32_t i = 0; i < n; i++) v[i] = sums[i] * factor + (bias ? bias[i] : 0.0f);
  activate(v, v, n, e->act);
  for (uint32_t i = 0; i < n; i++) y[i] = v[i] + (res ? res[i] : 0.0f);
}
