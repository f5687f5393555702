/* The constants that kernels load instead of writing them down (include/simd.h says why). Not const: they must stay loads. */
#include "simd.h"

volatile struct constants held = {
    .f16_mask = 0x8fffe000, /* an f16 shifted left by 13, its sign extended: sign, exponent, mantissa */
    .low_bytes = 0x0f0f0f0f,
    .low_halves = 0x000f000f,
    .two_64 = 0x5f800000, /* f32 */
    .two_112 = 0x77800000,
    .magic_bits = 0x4b400000, /* 1.5 * 2^23 */
    .exp_low = -87.3f,
    .exp_high = 88.0f,
    .log2e = 1.44269504088896341f,
    .magic = 12582912.0f,
    .ln2_high = -0.693359375f,
    .ln2_low = 2.12194440e-4f,
    .exp_p = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f},
    .one = 1.0f,
    .sign = -0.0f,
    .half = 0.5f,
    /* 1/sqrt2, 0.45, then P of gelu_erf (kernels/activation.c), highest power first */
    .gelu_erf_p = {0.70710678118f, 0.45f, -0.03369048237800598f, 0.14965663850307465f, -0.20657476782798767f,
                   0.021254219114780426f, 0.07406274229288101f, 0.07098861038684845f, 0.19105342030525208f,
                   0.2251574695110321f, 0.2542223632335663f, 0.25386977195739746f},
    .gelu_tanh_p = {0.07135481282f, 1.5957691216f}, /* 2 sqrt(2/pi) times 0.044715, and 2 sqrt(2/pi) */
    .quick = 1.702f,
};
