/* activation: y = act(x) on [rows, cols]; act: 0 none, 1 gelu_erf, 2 quick_gelu, 3 gelu_tanh, 4 silu; y may be x. */
#include "math.h"

v128_t activate(v128_t x, uint32_t act) {
  switch (act) {
  case ACT_GELU_ERF: return gelu_erf_f32x4(x);
  case ACT_QUICK_GELU: return quick_gelu_f32x4(x);
  case ACT_GELU_TANH: return gelu_tanh_f32x4(x);
  case ACT_SILU: return silu_f32x4(x);
  default: return x;
  }
}

void activation(const struct activation_args *a) {
  for (uint32_t r = 0; r < a->rows; r++) {
    const float *x = (const float *)a->x + (size_t)r * a->ldx;
    float *y = (float *)a->y + (size_t)r * a->ldy;
    uint32_t i = 0;
    for (; i + 4 <= a->cols; i += 4) store(y + i, activate(load(x + i), a->act));
    for (; i < a->cols; i++) y[i] = wasm_f32x4_extract_lane(activate(wasm_f32x4_splat(x[i]), a->act), 0);
  }
}
