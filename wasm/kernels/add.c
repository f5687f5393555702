/* add: y = a + b on [rows, cols]; y may be a or b. */
#include "simd.h"

void add(const struct add_args *args) {
  for (uint32_t r = 0; r < args->rows; r++) {
    const float *a = (const float *)args->a + (size_t)r * args->lda, *b = (const float *)args->b + (size_t)r * args->ldb;
    float *y = (float *)args->y + (size_t)r * args->ldy;
    uint32_t i = 0;
    for (; i + 4 <= args->cols; i += 4) store(y + i, wasm_f32x4_add(load(a + i), load(b + i)));
    for (; i < args->cols; i++) y[i] = a[i] + b[i];
  }
}
