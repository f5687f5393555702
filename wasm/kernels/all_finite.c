/* all_finite: 1 when no value of the array at x (16-byte aligned, dtype 0 f32, 1 f16, 2 bf16) is infinite or NaN: those have
 * all bits of the exponent set. */
#include "simd.h"

EXPORT(all_finite) uint32_t all_finite(const void *x, uint32_t bytes, uint32_t dtype) {
  const uint16_t *halves = x;
  const uint16_t exponent = dtype == 1 ? 0x7c00 : 0x7f80;
  /* of an f32 the upper half holds the exponent; the mask of the lower one is zero, and what is there no exponent */
  const v128_t mask = dtype == 0 ? wasm_i32x4_const_splat(0x7f800000) : wasm_i16x8_splat((int16_t)exponent);
  v128_t found = zero();
  uint32_t whole = bytes & ~15u;
  for (uint32_t i = 0; i < whole; i += 16) {
    v128_t v = wasm_v128_and(load((const uint8_t *)x + i), mask);
    found = wasm_v128_or(found, dtype == 0 ? wasm_i32x4_eq(v, mask) : wasm_i16x8_eq(v, mask));
  }
  if (wasm_v128_any_true(found)) return 0;
  uint32_t step = dtype == 0 ? 2 : 1;
  for (uint32_t i = whole / 2 + step - 1; i < bytes / 2; i += step)
    if ((halves[i] & exponent) == exponent) return 0;
  return 1;
}
