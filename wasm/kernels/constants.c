/* The constants that kernels load instead of writing them down (include/simd.h says why). */
#include "simd.h"

const volatile struct constants held = {
    .f16_mask = 0x8fffe000, /* an f16 shifted left by 13, its sign extended: sign, exponent, mantissa */
    .low_bytes = 0x0f0f0f0f,
    .low_halves = 0x000f000f,
    .two_64 = 0x5f800000, /* f32 */
    .two_112 = 0x77800000,
};
