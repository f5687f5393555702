/* Sums over a row in f64 (two lanes), so that a long row costs no accuracy. */
#ifndef LLAVA_SP_NORM_H
#define LLAVA_SP_NORM_H
#include "simd.h"

/* sum of (x - mean)^power, power 1 or 2 */
INLINE double row_sum(const float *x, uint32_t cols, double mean, const int power) {
  v128_t s0 = zero(), s1 = zero(), m = wasm_f64x2_splat(mean);
  uint32_t i = 0;
  for (; i + 4 <= cols; i += 4) {
    v128_t v = load(x + i);
    v128_t a = wasm_f64x2_sub(wasm_f64x2_promote_low_f32x4(v), m);
    v128_t b = wasm_f64x2_sub(wasm_f64x2_promote_low_f32x4(wasm_i32x4_shuffle(v, v, 2, 3, 2, 3)), m);
    s0 = wasm_f64x2_add(s0, power == 2 ? wasm_f64x2_mul(a, a) : a);
    s1 = wasm_f64x2_add(s1, power == 2 ? wasm_f64x2_mul(b, b) : b);
  }
  s0 = wasm_f64x2_add(s0, s1);
  double sum = wasm_f64x2_extract_lane(s0, 0) + wasm_f64x2_extract_lane(s0, 1);
  for (; i < cols; i++) {
    double d = x[i] - mean;
    sum += power == 2 ? d * d : d;
  }
  return sum;
}
#endif
