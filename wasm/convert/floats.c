/* Stored floats to f32 and f32 to f16. */
#include "convert.h"

/* n values of `dtype`, at an address aligned to them, to f32. Infinities and NaNs of f16 may become large numbers: callers
 * refuse the tensor, so only how many there are counts. Returns how many values are not finite. */
EXPORT(to_f32) uint32_t to_f32(const uint8_t *src, float *dst, uint32_t n, uint32_t dtype) {
  uint32_t bad = 0, i = 0;
  v128_t count = wasm_i32x4_const_splat(0);
  const v128_t inf = wasm_i32x4_const_splat(0x7f800000);
  if (dtype == F16) {
    const v128_t mask = wasm_i32x4_const_splat((int)0x8fffe000), scale = wasm_f32x4_const_splat(0x1p112f);
    const v128_t exponent = wasm_i32x4_const_splat(0x7c00);
    for (; i + 4 <= n; i += 4) {
      v128_t h = wasm_i32x4_load16x4(src + 2 * i);
      count = wasm_i32x4_sub(count, wasm_i32x4_eq(wasm_v128_and(h, exponent), exponent));
      store(dst + i, wasm_f32x4_mul(load4_f16_raw(src + 2 * i, mask), scale));
    }
  } else {
    for (; i + 4 <= n; i += 4) {
      v128_t v = dtype == BF16 ? wasm_i32x4_shl(wasm_u32x4_load16x4(src + 2 * i), 16) : load(src + 4 * i);
      count = wasm_i32x4_sub(count, wasm_i32x4_eq(wasm_v128_and(v, inf), inf));
      store(dst + i, v);
    }
  }
  for (; i < n; i++) {
    dst[i] = load_dtype(src, i, dtype);
    bad += !(dst[i] - dst[i] == 0);
  }
  return bad + wasm_u32x4_extract_lane(count, 0) + wasm_u32x4_extract_lane(count, 1) + wasm_u32x4_extract_lane(count, 2) +
         wasm_u32x4_extract_lane(count, 3);
}

/* n values to f16, round to nearest even. */
EXPORT(to_f16) void to_f16(const float *src, uint16_t *dst, uint32_t n, struct stats *stats) {
  double error = 0, norm = 0;
  for (uint32_t i = 0; i < n; i++) {
    float x = src[i];
    uint16_t h = f32_to_f16(x);
    double d = (double)f16_to_f32(h) - x;
    dst[i] = h;
    norm += (double)x * x;
    if ((h & 0x7fff) == 0x7c00) stats->overflow++;
    else error += d * d;
  }
  stats->error += error;
  stats->norm += norm;
}
