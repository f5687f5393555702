/* linear_q4_gemv: y = act(x W^T + bias) + res for few rows; x as quantize_q8 left it, W packed q4 (include/packed.h).
 * Bound by memory: 8 weight rows of each of four streams at a time. The relaxed build adds dots in i16 (see block_dot.h). */
#include "linear_q.h"

void linear_q4_gemv(const struct linear_q4_gemv_args *a) {
  if (!gemv_q(a, 4, 2)) linear_q4_gemm((const struct linear_q4_gemm_args *)a);
}
