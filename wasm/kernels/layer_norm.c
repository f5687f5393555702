/* layer_norm: y = (x - mean) / sqrt(var + eps) * w + b for each row of [rows, cols]; two passes; y may be x. */
#include "norm.h"

void layer_norm(const struct layer_norm_args *a) {
  const float *w = a->w, *b = a->b;
  for (uint32_t r = 0; r < a->rows; r++) {
    const float *x = (const float *)a->x + (size_t)r * a->ldx;
    float *y = (float *)a->y + (size_t)r * a->ldy;
    double mean = row_sum(x, a->cols, 0, 1) / a->cols;
    double inv = 1 / __builtin_sqrt(row_sum(x, a->cols, mean, 2) / a->cols + a->eps);
    v128_t vm = wasm_f32x4_splat((float)mean), vi = wasm_f32x4_splat((float)inv);
    uint32_t i = 0;
    for (; i + 4 <= a->cols; i += 4) {
      v128_t v = wasm_f32x4_mul(wasm_f32x4_sub(load(x + i), vm), vi);
      store(y + i, fma_f32x4(v, load(w + i), load(b + i)));
    }
    for (; i < a->cols; i++) y[i] = (x[i] - (float)mean) * (float)inv * w[i] + b[i];
  }
}
