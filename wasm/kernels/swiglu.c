/* swiglu: y = silu(gate) * up on [rows, cols]; y may be gate or up. */
#include "math.h"

void swiglu(const struct swiglu_args *a) {
  const struct exp_constants k = exp_constants();
  for (uint32_t r = 0; r < a->rows; r++) {
    const float *g = (const float *)a->gate + (size_t)r * a->ldg, *u = (const float *)a->up + (size_t)r * a->ldu;
    float *y = (float *)a->y + (size_t)r * a->ldy;
    uint32_t i = 0;
    for (; i + 4 <= a->cols; i += 4) store(y + i, wasm_f32x4_mul(silu_f32x4(load(g + i), &k), load(u + i)));
    for (; i < a->cols; i++) y[i] = wasm_f32x4_extract_lane(silu_f32x4(wasm_f32x4_splat(g[i]), &k), 0) * u[i];
  }
}
