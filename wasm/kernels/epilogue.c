/* y = act(sum*factor + bias) + res for 8 columns of a row, one by one where the row ends (include/epilogue.h). */
#include "epilogue.h"

INLINE v128_t epilogue_act(v128_t v, uint32_t act) { return act == ACT_NONE ? v : activate(v, act); }

void epilogue8(const struct epilogue *e, uint32_t row, uint32_t col, const float *sums, float factor) {
  float *y = e->y + (size_t)row * e->ldy + col;
  const float *res = e->res ? e->res + (size_t)row * e->ldres + col : 0, *bias = e->bias ? e->bias + col : 0;
  if (col + 8 <= e->n) {
    for (uint32_t i = 0; i < 8; i += 4) {
      v128_t v = wasm_f32x4_mul(load(sums + i), wasm_f32x4_splat(factor));
      if (bias) v = wasm_f32x4_add(v, load(bias + i));
      v = epilogue_act(v, e->act);
      store(y + i, res ? wasm_f32x4_add(v, load(res + i)) : v);
    }
    return;
  }
  for (uint32_t i = 0; col + i < e->n; i++) {
    v128_t v = wasm_f32x4_splat(sums[i] * factor + (bias ? bias[i] : 0.0f));
    y[i] = wasm_f32x4_extract_lane(epilogue_act(v, e->act), 0) + (res ? res[i] : 0.0f);
  }
}
