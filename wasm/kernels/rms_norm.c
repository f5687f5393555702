/* rms_norm: y = x / sqrt(mean(x^2) + eps) * w for each row of [rows, cols]; y may be x. */
#include "norm.h"

void rms_norm(const struct rms_norm_args *a) {
  const float *w = a->w;
  for (uint32_t r = 0; r < a->rows; r++) {
    const float *x = (const float *)a->x + (size_t)r * a->ldx;
    float *y = (float *)a->y + (size_t)r * a->ldy;
    float inv = (float)(1 / __builtin_sqrt(row_sum(x, a->cols, 0, 2) / a->cols + a->eps));
    v128_t vi = wasm_f32x4_splat(inv);
    uint32_t i = 0;
    for (; i + 4 <= a->cols; i += 4) store(y + i, wasm_f32x4_mul(wasm_f32x4_mul(load(x + i), vi), load(w + i)));
    for (; i < a->cols; i++) y[i] = x[i] * inv * w[i];
  }
}
