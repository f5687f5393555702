/* linear_f32_gemv: y = act(x W^T + bias) + res for few rows; x f32, W packed f32 (include/packed.h), any n and k.
 * Four streams of 8 rows side by side (include/linear_f.h). */
#include "linear_f.h"

void linear_f32_gemv(const struct linear_f32_gemv_args *a) { gemv_f((const struct linear_f32_gemv_args *)a, 0); }
