/* pool: adaptive average pool of the grid x [grid*grid, c] to k x k, flattened to [k*k*c]. Output i averages the rows
 * floor(i*grid/k) up to ceil((i+1)*grid/k), columns likewise: windows overlap where k does not divide grid. */
#include "simd.h"

void pool(const struct pool_args *a) {
  uint32_t n = a->grid, k = a->k, c = a->c;
  float *y = a->y;
  for (uint32_t i = 0; i < k; i++)
    for (uint32_t j = 0; j < k; j++, y += c) {
      uint32_t r0 = i * n / k, r1 = ((i + 1) * n + k - 1) / k, c0 = j * n / k, c1 = ((j + 1) * n + k - 1) / k;
      for (uint32_t m = 0; m < c; m++) y[m] = 0;
      for (uint32_t r = r0; r < r1; r++)
        for (uint32_t q = c0; q < c1; q++) {
          const float *x = (const float *)a->x + (size_t)(r * n + q) * a->ldx;
          for (uint32_t m = 0; m < c; m++) y[m] += x[m];
        }
      float count = (float)((r1 - r0) * (c1 - c0));
      for (uint32_t m = 0; m < c; m++) y[m] /= count;
    }
}
