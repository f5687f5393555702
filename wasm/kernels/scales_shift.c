/* scales_shift: the power of two to multiply scales by before they become f16, so that neither bf16 nor f32 scales of any
 * usual size leave f16's normal range: the largest magnitude lands in [2^9, 2^10), which leaves 2^6 for larger biases
 * above and 2^23 below. Call it for scales and for biases of a tensor and give the smaller to repack_*.
 * A NaN or an infinity among them gives -2147483648: such a tensor must be refused (the kernels read f16 without those). */
#include "simd.h"

EXPORT(scales_shift) int32_t scales_shift(const void *scales, uint32_t count, uint32_t dtype) {
  float top = 0;
  for (uint32_t i = 0; i < count; i++) {
    float v = __builtin_fabsf(load_dtype(scales, i, dtype));
    if (!(v < __builtin_inff())) return INT32_MIN;
    if (v > top) top = v;
  }
  if (top == 0) return 0;
  union {
    float f;
    uint32_t u;
  } bits = {top};
  int32_t shift = 9 - ((int32_t)(bits.u >> 23) - 127);
  return shift > 40 ? 40 : shift < -13 ? -13 : shift; /* keeps every factor of packed.h a normal f32 */
}
