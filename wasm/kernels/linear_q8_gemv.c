/* linear_q8_gemv: y = act(x W^T + bias) + res for few rows; x as quantize_q8 left it, W packed q8 (include/packed.h).
 * Products in int16 in both builds: the relaxed dots take 7-bit weights only. */
#include "linear_q.h"

void linear_q8_gemv(const struct linear_q8_gemv_args *a) {
  if (!gemv_q((const struct linear_q4_gemv_args *)a, 8, 2)) linear_q8_gemm((const struct linear_q8_gemm_args *)a);
}
