/* copy: y = x on [rows, cols] with strides; y may overlap x within a row. */
#include "simd.h"

void copy(const struct copy_args *a) {
  for (uint32_t r = 0; r < a->rows; r++)
    __builtin_memmove((float *)a->y + (size_t)r * a->ldy, (const float *)a->x + (size_t)r * a->ldx, (size_t)a->cols * 4);
}
