/* nan_check: *out (u32) |= 1 if any value of x [rows, cols] is NaN or infinite. */
#include "simd.h"

void nan_check(const struct nan_check_args *a) {
  const uint32_t exponent = 0x7f800000;
  v128_t bad = zero(), mask = wasm_i32x4_splat((int)exponent);
  uint32_t found = 0;
  for (uint32_t r = 0; r < a->rows; r++) {
    const uint32_t *x = (const uint32_t *)a->x + (size_t)r * a->ldx;
    uint32_t i = 0;
    for (; i + 4 <= a->cols; i += 4) bad = wasm_v128_or(bad, wasm_i32x4_eq(wasm_v128_and(load(x + i), mask), mask));
    for (; i < a->cols; i++) found |= (x[i] & exponent) == exponent;
  }
  *(uint32_t *)a->out |= found | (wasm_v128_any_true(bad) ? 1u : 0u);
}
