/* linear_q8_gemm: y = act(x W^T + bias) + res for many rows; x as quantize_q8 left it, W packed q8 (include/packed.h).
 * Tile of 4 activation rows x 8 weight rows, sums of 32 codes as integers, the rest in f32 (include/linear_q.h). */
#include "linear_q.h"

void linear_q8_gemm(const struct linear_q8_gemm_args *a) { gemm_q((const struct linear_q4_gemm_args *)a, 8); }
