/* crop: y = the centred k x k window of the grid x [grid*grid, c], flattened to [k*k*c]; it starts at floor((grid - k)/2). */
#include "simd.h"

void crop(const struct crop_args *a) {
  uint32_t start = (a->grid - a->k) / 2;
  float *y = a->y;
  for (uint32_t i = 0; i < a->k; i++)
    for (uint32_t j = 0; j < a->k; j++, y += a->c)
      __builtin_memcpy(y, (const float *)a->x + (size_t)((start + i) * a->grid + start + j) * a->ldx, a->c * 4);
}
