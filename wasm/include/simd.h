/* Names for the SIMD128 operations that the kernels share. fma_f32x4 comes from the variant's dot.h. */
#ifndef LLAVA_SP_SIMD_H
#define LLAVA_SP_SIMD_H
#include "abi.h"
#include <wasm_simd128.h>

#include "variant.h"

/* Keeps the order of a tile's updates: LLVM otherwise turns independent accumulators into serial chains,
 * and engines keep the order they are given. */
#define UNROLL _Pragma("clang loop unroll(full)")
#define PIN(v) __asm__ volatile("" : "+r"(v))

INLINE v128_t load(const void *p) { return wasm_v128_load(p); }
INLINE void store(void *p, v128_t v) { wasm_v128_store(p, v); }
INLINE v128_t splat_f32(const float *p) { return wasm_v128_load32_splat(p); }
INLINE v128_t zero(void) { return wasm_i32x4_const_splat(0); }

/* A constant that stays in a register, or at worst is loaded. Engines build a v128.const anew at each use (three
 * instructions), and every tool on the way here turns a splat of a constant into one: hence a load that none sees through. */
struct constants {
  uint32_t f16_mask, low_bytes, low_halves, two_64, two_112, magic_bits;
  float exp_low, exp_high, log2e, magic, ln2_high, ln2_low, exp_p[6], one, sign, half, gelu_erf_p[12], gelu_tanh_p[2], quick;
};
extern volatile struct constants held;
#define HELD(field) wasm_v128_load32_splat((const void *)&held.field)

/* Lane m (a constant) in all lanes. One load and four of these take fewer instructions than four splatting loads, whose
 * constant offsets engines compute apart. */
INLINE v128_t lane_splat(v128_t v, const int m) {
  return m == 0   ? wasm_i32x4_shuffle(v, v, 0, 0, 0, 0)
         : m == 1 ? wasm_i32x4_shuffle(v, v, 1, 1, 1, 1)
         : m == 2 ? wasm_i32x4_shuffle(v, v, 2, 2, 2, 2)
                  : wasm_i32x4_shuffle(v, v, 3, 3, 3, 3);
}

INLINE float sum_f32x4(v128_t v) {
  v = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1);
}

INLINE float max_f32x4(v128_t v) {
  v = wasm_f32x4_pmax(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  float a = wasm_f32x4_extract_lane(v, 0), b = wasm_f32x4_extract_lane(v, 1);
  return a > b ? a : b;
}

/* Bits of an f16 as f32, smaller by 2^112 (exact, subnormals included): one shift and one mask, no table.
 * Callers fold the factor into something they multiply by anyway. Four of them from 8 bytes. */
#define F16_BIAS 112
INLINE v128_t load4_f16_raw(const void *p, v128_t f16_mask) {
  return wasm_v128_and(wasm_i32x4_shl(wasm_i32x4_load16x4(p), 13), f16_mask);
}

/* 2^e for -126 <= e <= 127. */
INLINE float exp2i(int e) {
  union {
    uint32_t u;
    float f;
  } v = {(uint32_t)(e + 127) << 23};
  return v.f;
}

/* Any f16 bits to f32, exact. */
INLINE float f16_to_f32(uint16_t h) {
  union {
    uint32_t u;
    float f;
  } v = {(uint32_t)(h & 0x7fff) << 13};
  if ((h & 0x7c00) == 0x7c00) v.u |= 0x7f800000; /* infinity and NaN keep their meaning */
  else v.f *= exp2i(F16_BIAS);
  v.u |= (uint32_t)(h & 0x8000) << 16;
  return v.f;
}

/* f32 to f16, round to nearest even; too large becomes infinity, NaN stays NaN. */
INLINE uint16_t f32_to_f16(float f) {
  union {
    uint32_t u;
    float f;
  } v = {.f = f}, m;
  uint32_t sign = (v.u >> 16) & 0x8000;
  v.u &= 0x7fffffff;
  if (v.u >= 0x47800000) return (uint16_t)(sign | (v.u > 0x7f800000 ? 0x7e00 : 0x7c00));
  if (v.u < 0x38800000) { /* subnormal in f16: let an f32 addition do the rounding */
    m.u = 0x3f000000;
    m.f = v.f + m.f;
    return (uint16_t)(sign | (m.u - 0x3f000000));
  }
  v.u += 0xc8000fff + ((v.u >> 13) & 1);
  return (uint16_t)(sign | (v.u >> 13));
}

/* One stored value as f32. dtype: 0 f32, 1 f16, 2 bf16. */
INLINE float load_dtype(const void *p, uint32_t i, uint32_t dtype) {
  if (dtype == 0) return ((const float *)p)[i];
  uint16_t h = ((const uint16_t *)p)[i];
  if (dtype == 1) return f16_to_f32(h);
  union {
    uint32_t u;
    float f;
  } v = {(uint32_t)h << 16};
  return v.f;
}
#endif
