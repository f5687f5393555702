/* The f32 tile that the GEMMs and attention share: acc[m][0..7] += sum over i < n of x[m][i] * panel[i*stride + 0..7]. */
#ifndef LLAVA_SP_TILE8_H
#define LLAVA_SP_TILE8_H
#include "simd.h"

/* mr (1..4, a constant) rows of x; acc[2m], acc[2m+1]. Four steps at a time; rows 2 and 3 are splatted by shuffles, which have
 * an execution port that the loads and multiplications leave free. */
INLINE void tile8(v128_t *acc, const float *const *x, const float *panel, uint32_t stride, uint32_t n, const int mr) {
  uint32_t i = 0;
  for (; i + 4 <= n; i += 4) {
    v128_t x4[4];
    UNROLL for (int m = 2; m < mr; m++) x4[m] = load(x[m] + i);
    UNROLL for (int j = 0; j < 4; j++, panel += stride) {
      v128_t lo = load(panel), hi = load(panel + 4);
      UNROLL for (int m = 0; m < mr; m++) {
        v128_t xv = m >= 2 ? lane_splat(x4[m], j) : splat_f32(x[m] + i + j);
        acc[2 * m] = fma_f32x4(lo, xv, acc[2 * m]);
        PIN(acc[2 * m]);
        acc[2 * m + 1] = fma_f32x4(hi, xv, acc[2 * m + 1]);
        PIN(acc[2 * m + 1]);
      }
    }
  }
  for (; i < n; i++, panel += stride) {
    v128_t lo = load(panel), hi = load(panel + 4);
    UNROLL for (int m = 0; m < mr; m++) {
      v128_t xv = splat_f32(x[m] + i);
      acc[2 * m] = fma_f32x4(lo, xv, acc[2 * m]);
      acc[2 * m + 1] = fma_f32x4(hi, xv, acc[2 * m + 1]);
    }
  }
}
#endif
