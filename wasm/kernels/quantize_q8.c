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

/* 32 values: their codes as 8 words of 4 codes and as 16 words of 2 (order of q16), the scale and the sum. */
INLINE void quantize_group(const float *x, uint32_t *words, uint32_t *pairs, float *scale_out, float *sum_out, v128_t magic,
                           v128_t magic_bits) {
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
  v128_t keep = wasm_i32x4_splat(scale == 0.0f ? 0 : -1);
  UNROLL for (int i = 0; i < 8; i++) { /* adding 1.5 * 2^23 rounds to the nearest integer, ties to even */
    v128_t c = wasm_f32x4_add(wasm_f32x4_div(load(x + 4 * i), vs), magic);
    part[i] = wasm_v128_and(wasm_i32x4_sub(c, magic_bits), keep);
    sum = wasm_i32x4_add(sum, part[i]);
  }
  UNROLL for (int i = 0; i < 2; i++) {
    v128_t lo = wasm_i16x8_narrow_i32x4(part[4 * i], part[4 * i + 1]), hi = wasm_i16x8_narrow_i32x4(part[4 * i + 2], part[4 * i + 3]);
    store(words + 4 * i, wasm_i8x16_narrow_i16x8(lo, hi));
    /* each eight into the order 0 2 4 6 1 3 5 7 */
    store(pairs + 8 * i, wasm_i16x8_shuffle(lo, lo, 0, 2, 4, 6, 1, 3, 5, 7));
    store(pairs + 8 * i + 4, wasm_i16x8_shuffle(hi, hi, 0, 2, 4, 6, 1, 3, 5, 7));
  }
  sum = wasm_i32x4_add(sum, wasm_i32x4_shuffle(sum, sum, 2, 3, 0, 1));
  scale *= 0x1p64f;
  *scale_out = scale;
  *sum_out = scale * (float)(wasm_i32x4_extract_lane(sum, 0) + wasm_i32x4_extract_lane(sum, 1));
}

/* to[4i + r] = from[r*count + i] for four rows. */
INLINE void interleave4(uint32_t *to, const uint32_t *from, int count) {
  for (int i = 0; i < count; i += 4) {
    v128_t r0 = load(from + i), r1 = load(from + count + i), r2 = load(from + 2 * count + i), r3 = load(from + 3 * count + i);
    v128_t a0 = wasm_i32x4_shuffle(r0, r1, 0, 4, 1, 5), a1 = wasm_i32x4_shuffle(r2, r3, 0, 4, 1, 5);
    v128_t b0 = wasm_i32x4_shuffle(r0, r1, 2, 6, 3, 7), b1 = wasm_i32x4_shuffle(r2, r3, 2, 6, 3, 7);
    store(to + 4 * i, wasm_i32x4_shuffle(a0, a1, 0, 1, 4, 5)), store(to + 4 * i + 4, wasm_i32x4_shuffle(a0, a1, 2, 3, 6, 7));
    store(to + 4 * i + 8, wasm_i32x4_shuffle(b0, b1, 0, 1, 4, 5)), store(to + 4 * i + 12, wasm_i32x4_shuffle(b0, b1, 2, 3, 6, 7));
  }
}

/* width rows (a tile of 4, or 1) from x on. */
INLINE void quantize_rows(const float *x, uint32_t ldx, struct act_q8 q, uint32_t k, const int width) {
  v128_t magic = HELD(magic), magic_bits = HELD(magic_bits);
  for (uint32_t level = 1; level < 3; level++)
    for (uint32_t i = 0; i < act_q8_groups(k, level) * width; i++) q.sum[level][i] = 0;
  for (uint32_t g = 0; g < k / 32; g++) {
    uint32_t words[8 * 4], pairs[16 * 4];
    for (int r = 0; r < width; r++) {
      float *sum = q.sum[0] + g * width + r;
      quantize_group(x + (size_t)r * ldx + g * 32, words + 8 * r, pairs + 16 * r, q.scale + g * width + r, sum, magic, magic_bits);
      q.sum[1][(g >> 1) * width + r] += *sum, q.sum[2][(g >> 2) * width + r] += *sum;
    }
    uint32_t *q8 = (uint32_t *)q.q8 + g * 8 * width, *q16 = (uint32_t *)q.q16 + g * 16 * width;
    if (width == 4) {
      interleave4(q8, words, 8), interleave4(q16, pairs, 16);
    } else {
      __builtin_memcpy(q8, words, 32), __builtin_memcpy(q16, pairs, 64);
    }
  }
}

void quantize_q8(const struct quantize_q8_args *a) {
  struct act_q8 q = act_q8_at(a->q, a->rows, a->k);
  const float *x = a->x;
  uint32_t r = 0;
  for (; r + 4 <= a->rows; r += 4) quantize_rows(x + (size_t)r * a->ldx, a->ldx, act_q8_row(q, r, a->k), a->k, 4);
  for (; r < a->rows; r++) quantize_rows(x + (size_t)r * a->ldx, a->ldx, act_q8_row(q, r, a->k), a->k, 1);
}
