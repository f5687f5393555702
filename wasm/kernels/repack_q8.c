/* repack_q8: rows of an MLX affine int8 tensor into the packed q8 layout (include/packed.h).
 * codes u8 [rows][k] (u32 words, lowest bits first); scales, biases [rows][k/group] of dtype.
 * Codes become signed (less 128), the bias takes 128*scale for it. */
#include "repack.h"

/* Lanes of 16 bits: low or high halves of x and y in turn; then 32 and 64 bits. */
#define LOW16(x, y) wasm_i16x8_shuffle(x, y, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH16(x, y) wasm_i16x8_shuffle(x, y, 4, 12, 5, 13, 6, 14, 7, 15)
#define LOW32(x, y) wasm_i32x4_shuffle(x, y, 0, 4, 1, 5)
#define HIGH32(x, y) wasm_i32x4_shuffle(x, y, 2, 6, 3, 7)
#define LOW64(x, y) wasm_i64x2_shuffle(x, y, 0, 2)
#define HIGH64(x, y) wasm_i64x2_shuffle(x, y, 1, 3)

/* Sixteen codes of each of 8 rows, as pairs in the order of pair_first: eight vectors of a pair of every row. */
static void pairs_of_rows(uint8_t *out, const uint8_t *in, uint32_t stride, uint32_t here) {
  v128_t r[8], t[8], u[8];
  UNROLL for (uint32_t i = 0; i < 8; i++) {
    v128_t codes = i < here ? load(in + (size_t)i * stride) : wasm_i8x16_const_splat((int8_t)0x80);
    r[i] = wasm_i8x16_shuffle(codes, codes, 0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
    r[i] = wasm_v128_xor(r[i], wasm_i8x16_const_splat((int8_t)0x80));
  }
  UNROLL for (uint32_t i = 0; i < 4; i++) t[i] = LOW16(r[2 * i], r[2 * i + 1]), t[4 + i] = HIGH16(r[2 * i], r[2 * i + 1]);
  UNROLL for (uint32_t i = 0; i < 8; i += 4) {
    u[i] = LOW32(t[i], t[i + 1]), u[i + 1] = HIGH32(t[i], t[i + 1]);
    u[i + 2] = LOW32(t[i + 2], t[i + 3]), u[i + 3] = HIGH32(t[i + 2], t[i + 3]);
    store(out + i * 16, LOW64(u[i], u[i + 2])), store(out + i * 16 + 16, HIGH64(u[i], u[i + 2]));
    store(out + i * 16 + 32, LOW64(u[i + 1], u[i + 3])), store(out + i * 16 + 48, HIGH64(u[i + 1], u[i + 3]));
  }
}

void repack_q8(const struct repack_q8_args *a) {
  struct packed_geometry geo = packed_geometry(FORMAT_Q8, a->n, a->k, a->group);
  uint32_t groups = a->k / a->group, per_group = a->group / 32;
  float factor = exp2i(a->shift), bias_factor = exp2i(a->shift - 56) * 0x1p-56f;
  packed_write_header(a->dst, FORMAT_Q8, a->n, a->k, a->group, a->shift);
  for (uint32_t r = 0; r < a->rows; r += 8) {
    uint8_t *out = packed_block(a->dst, &geo, (a->row0 + r) / 8);
    const uint8_t *codes = (const uint8_t *)a->codes + (size_t)r * a->k;
    uint32_t here = a->rows - r < 8 ? a->rows - r : 8;
    for (uint32_t g = 0; g < groups; g++) {
      for (uint32_t b = 0; b < per_group; b++, out += 256)
        for (uint32_t half = 0; half < 2; half++)
          pairs_of_rows(out + half * 128, codes + g * a->group + b * 32 + half * 16, a->k, here);
      uint16_t *scales = (uint16_t *)out;
      float *biases = (float *)(out + 16);
      for (uint32_t i = 0; i < 8; i++) {
        size_t at = (size_t)(r + i) * groups + g;
        scales[i] = 0, biases[i] = 0;
        if (i >= here) continue;
        scales[i] = f32_to_f16(load_dtype(a->scales, at, a->dtype) * factor);
        /* the stored scale, not the given one: w = scale*(code-128) + (bias + 128*scale) must stay one formula */
        float scale = f16_to_f32(scales[i]) / factor;
        biases[i] = (load_dtype(a->biases, at, a->dtype) + 128.0f * scale) * bias_factor;
      }
      out += 48;
    }
  }
}
