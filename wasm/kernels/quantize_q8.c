/* quantize_q8: x [rows, k] f32 -> int8 codes with one scale for each 32 values along k.
 *
 * The rule, in f32 arithmetic (each operation rounded to f32), for every row and group of 32:
 *   absmax = max |x|;  scale = absmax / 127;  if scale < 2^-126: scale = 0 and all codes 0
 *   code = round-half-to-even(x / scale), within -127..127
 * The value that the linear kernels see is scale * code. NaN or an infinity in a group makes its scale NaN or infinite,
 * and so the result.
 * Layout of q: include/act_q8.h. */
#include "act_q8.h"

EXPORT(act_q8_bytes) uint32_t act_q8_bytes(uint32_t rows, uint32_t k) {
  return (rows * (k * 3 + 4 * (2 * act_q8_groups(k, 0) + act_q8_groups(k, 1) + act_q8_groups(k, 2))) + 63) & ~63u;
}

/* int32 lanes 0,4,1,5 of (a, b) carry codes 0..7 of a group of eight; see act_q8.h for the order of q16. */
INLINE void quantize_group(const float *x, int8_t codes[32], float *scale_out, float *sum_out) {
  v128_t nan = zero(), top = zero();
  for (int i = 0; i < 32; i += 4) {
    v128_t v = load(x + i);
    top = wasm_f32x4_pmax(top, wasm_f32x4_abs(v));
    nan = wasm_v128_or(nan, wasm_f32x4_ne(v, v));
  }
  float scale = max_f32x4(top) / 127.0f;
  if (wasm_v128_any_true(nan)) scale = __builtin_nanf("");
  if (scale < 1.17549435e-38f) scale = 0.0f; /* NaN stays */
  v128_t vs = wasm_f32x4_splat(scale == 0.0f ? 1.0f : scale), sum = zero(), part[8];
  v128_t keep = scale == 0.0f ? zero() : wasm_i32x4_const_splat(-1);
  for (int i = 0; i < 8; i++) {
    v128_t c = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(wasm_f32x4_div(load(x + 4 * i), vs)));
    part[i] = wasm_v128_and(c, keep);
    sum = wasm_i32x4_add(sum, part[i]);
  }
  for (int i = 0; i < 2; i++) {
    v128_t lo = wasm_i16x8_narrow_i32x4(part[4 * i], part[4 * i + 1]), hi = wasm_i16x8_narrow_i32x4(part[4 * i + 2], part[4 * i + 3]);
    store(codes + 16 * i, wasm_i8x16_narrow_i16x8(lo, hi));
  }
  int32_t total = wasm_i32x4_extract_lane(sum, 0) + wasm_i32x4_extract_lane(sum, 1) + wasm_i32x4_extract_lane(sum, 2) +
                  wasm_i32x4_extract_lane(sum, 3);
  scale *= 0x1p64f;
  *scale_out = scale;
  *sum_out = scale * (float)total;
}

void quantize_q8(const struct quantize_q8_args *a) {
  struct act_q8 q = act_q8_at(a->q, a->rows, a->k);
  uint32_t tiled = a->rows & ~3u, groups = a->k / 32;
  for (uint32_t r = 0; r < a->rows; r++) {
    const float *x = (const float *)a->x + (size_t)r * a->ldx;
    int in_tile = r < tiled;
    struct act_q8 row = act_q8_row(q, in_tile ? r & ~3u : r, a->k);
    uint32_t lane = in_tile ? r & 3 : 0, width = in_tile ? 4 : 1; /* words of 4 bytes are interleaved by width */
    for (uint32_t level = 1; level < 3; level++)
      for (uint32_t g = 0; g < act_q8_groups(a->k, level); g++) row.sum[level][g * width + lane] = 0;
    uint32_t *q8 = (uint32_t *)row.q8 + lane, *q16 = (uint32_t *)row.q16 + lane;
    for (uint32_t g = 0; g < groups; g++) {
      int8_t codes[32];
      uint32_t words[8], pairs[16];
      quantize_group(x + g * 32, codes, row.scale + g * width + lane, row.sum[0] + g * width + lane);
      float sum = row.sum[0][g * width + lane];
      row.sum[1][(g >> 1) * width + lane] += sum, row.sum[2][(g >> 2) * width + lane] += sum;
      __builtin_memcpy(words, codes, 32);
      for (int j = 0; j < 2; j++) { /* 16 codes: two eights, each put into the order 0 2 4 6 1 3 5 7 */
        v128_t c = load(codes + 16 * j);
        c = wasm_i8x16_shuffle(c, c, 0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
        store(pairs + 8 * j, wasm_i16x8_extend_low_i8x16(c));
        store(pairs + 8 * j + 4, wasm_i16x8_extend_high_i8x16(c));
      }
      for (int i = 0; i < 8; i++) q8[(g * 8 + i) * width] = words[i];
      for (int i = 0; i < 16; i++) q16[(g * 16 + i) * width] = pairs[i];
    }
  }
}
