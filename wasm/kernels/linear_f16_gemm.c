/* linear_f16_gemm: y = act(x W^T + bias) + res for many rows; x f32, W packed f16 (include/packed.h), any n and k.
 * Tile of 4 x 8, panels of KC weights along k (include/linear_f.h). */
#include "linear_f.h"

static float panel[1 ? KC * 8 : 4] __attribute__((aligned(64)));
static float partial[MC * 8] __attribute__((aligned(64)));

void linear_f16_gemm(const struct linear_f16_gemm_args *a) {
  gemm_f((const struct linear_f32_gemm_args *)a, panel, partial, 1);
}
