/* patchify: y[gy*grid_w + gx][c*p*p + py*p + px] = pixels[c][gy*p + py][gx*p + px]; pixels [channels, grid_h*p, grid_w*p].
 * The patch embedding is then a linear layer, and a convolution's weight [C, channels, p, p] is its matrix as it lies. */
#include "simd.h"

void patchify(const struct patchify_args *a) {
  uint32_t p = a->patch, width = a->grid_w * p;
  float *y = a->y;
  for (uint32_t gy = 0; gy < a->grid_h; gy++)
    for (uint32_t gx = 0; gx < a->grid_w; gx++)
      for (uint32_t c = 0; c < a->channels; c++)
        for (uint32_t py = 0; py < p; py++, y += p) {
          const float *x = (const float *)a->pixels + ((size_t)c * a->grid_h * p + gy * p + py) * width + gx * p;
          __builtin_memcpy(y, x, p * 4);
        }
}
