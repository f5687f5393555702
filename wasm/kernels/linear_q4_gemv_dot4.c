/* linear_q4_gemv_dot4: linear_q4_gemv with the 4-way dot (0x113) in the relaxed build: better where the chip has one
 * (a micro-benchmark at load tells). In the simd build the two are the same. */
#include "linear_q.h"

void linear_q4_gemv_dot4(const struct linear_q4_gemv_dot4_args *a) {
#if RELAXED
  if (gemv_q((const struct linear_q4_gemv_args *)a, 4, 4)) return;
#endif
  linear_q4_gemv((const struct linear_q4_gemv_args *)a);
}
