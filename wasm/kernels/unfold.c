/* unfold: the k x k windows of the grid x [grid*grid, c], `stride` apart, as rows: y [o*o, k*k*c], o = (grid - k)/stride + 1.
 * A convolution is then a linear layer with weights in the order [out, k, k, in]. */
#include "simd.h"

void unfold(const struct unfold_args *a) {
  uint32_t o = (a->grid - a->k) / a->stride + 1;
  float *y = a->y;
  for (uint32_t oy = 0; oy < o; oy++)
    for (uint32_t ox = 0; ox < o; ox++)
      for (uint32_t i = 0; i < a->k; i++)
        for (uint32_t j = 0; j < a->k; j++, y += a->c) {
          size_t at = (size_t)(oy * a->stride + i) * a->grid + ox * a->stride + j;
          __builtin_memcpy(y, (const float *)a->x + at * a->ldx, a->c * 4);
        }
}
