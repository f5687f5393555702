/* What the parts of convert.wasm share. A module of its own: a converter runs it in worker threads, models never load it.
 * Plain SIMD128 only: the bytes of a converted model must not depend on the machine, and relaxed operations do. */
#ifndef LLAVA_SP_CONVERT_H
#define LLAVA_SP_CONVERT_H
#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define INLINE static inline __attribute__((always_inline))

/* Element types, as the callers number them. */
enum { F32 = 0, F16 = 1, BF16 = 2 };

/* What became of the values of one call; the caller clears it. */
struct stats {
  double error; /* sum of (stored - wanted)^2 */
  double norm;  /* sum of wanted^2; not finite when a wanted value is not */
  uint32_t overflow; /* values, scales or biases past f16's range */
};

INLINE float bits_f32(uint32_t u) {
  union {
    uint32_t u;
    float f;
  } v = {u};
  return v.f;
}

INLINE uint32_t f32_bits(float f) {
  union {
    float f;
    uint32_t u;
  } v = {f};
  return v.u;
}

/* Any f16 to f32, exact. */
INLINE float f16_to_f32(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7fff) << 13;
  if ((h & 0x7c00) == 0x7c00) return bits_f32(sign | rest | 0x7f800000);
  return bits_f32(sign | f32_bits(bits_f32(rest) * 0x1p112f));
}

/* f32 to f16, round to nearest even; too large becomes infinity, NaN stays NaN. */
INLINE uint16_t f32_to_f16(float f) {
  uint32_t u = f32_bits(f), sign = (u >> 16) & 0x8000;
  u &= 0x7fffffff;
  if (u >= 0x47800000) return (uint16_t)(sign | (u > 0x7f800000 ? 0x7e00 : 0x7c00));
  /* subnormal in f16: let an f32 addition do the rounding */
  if (u < 0x38800000) return (uint16_t)(sign | (f32_bits(bits_f32(u) + 0.5f) - 0x3f000000));
  u += 0xc8000fff + ((u >> 13) & 1);
  return (uint16_t)(sign | (u >> 13));
}

INLINE float sum4(v128_t v) {
  v = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1);
}
#endif
