/* The end of every linear kernel: y = act(sum + bias) + res for 8 columns of a row, the last columns one by one. */
#ifndef LLAVA_SP_EPILOGUE_H
#define LLAVA_SP_EPILOGUE_H
#include "math.h"

struct epilogue {
  float *y;
  const float *bias, *res;
  uint32_t ldy, ldres, n, act;
};

#define EPILOGUE(a) ((struct epilogue){(a)->y, (a)->bias, (a)->res, (a)->ldy, (a)->ldres, (a)->n, (a)->act})

INLINE v128_t epilogue_act(v128_t v, uint32_t act) { return act == ACT_NONE ? v : activate(v, act); }

/* Columns col..col+7 of row; lo, hi are their sums. */
INLINE void epilogue8(const struct epilogue *e, uint32_t row, uint32_t col, v128_t lo, v128_t hi) {
  float *y = e->y + (size_t)row * e->ldy + col;
  const float *res = e->res ? e->res + (size_t)row * e->ldres + col : 0;
  if (col + 8 <= e->n) {
    if (e->bias) {
      lo = wasm_f32x4_add(lo, load(e->bias + col));
      hi = wasm_f32x4_add(hi, load(e->bias + col + 4));
    }
    lo = epilogue_act(lo, e->act), hi = epilogue_act(hi, e->act);
    if (res) lo = wasm_f32x4_add(lo, load(res)), hi = wasm_f32x4_add(hi, load(res + 4));
    store(y, lo), store(y + 4, hi);
    return;
  }
  float v[8];
  store(v, lo), store(v + 4, hi);
  for (uint32_t i = 0; col + i < e->n; i++) {
    float s = v[i] + (e->bias ? e->bias[col + i] : 0.0f);
    if (e->act != ACT_NONE) s = wasm_f32x4_extract_lane(activate(wasm_f32x4_splat(s), e->act), 0);
    y[i] = s + (res ? res[i] : 0.0f);
  }
}
#endif
