/* stream_read: *out = the sum of x's 32-bit words: how fast this engine reads memory, the yardstick of the GEMV figures.
 * Four streams side by side, as the GEMVs read; `bytes` is rounded down to a multiple of 256. */
#include "simd.h"

void stream_read(const struct stream_read_args *a) {
  size_t quarter = a->bytes / 256 * 64;
  const uint8_t *p = a->x;
  v128_t s[4] = {zero(), zero(), zero(), zero()};
  for (size_t i = 0; i < quarter; i += 64)
    for (int j = 0; j < 4; j++)
      for (int l = 0; l < 64; l += 16) s[j] = wasm_i32x4_add(s[j], load(p + j * quarter + i + l));
  v128_t t = wasm_i32x4_add(wasm_i32x4_add(s[0], s[1]), wasm_i32x4_add(s[2], s[3]));
  *(uint32_t *)a->out = (uint32_t)(wasm_i32x4_extract_lane(t, 0) + wasm_i32x4_extract_lane(t, 1) + wasm_i32x4_extract_lane(t, 2) +
                                   wasm_i32x4_extract_lane(t, 3));
}
