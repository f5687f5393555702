/* repack_q4: rows of an MLX affine int4 tensor into the packed q4 layout (include/packed.h).
 * codes u32 [rows][k/8], eight codes a word, lowest bits first; scales, biases [rows][k/group] of dtype.
 * Rows past the end of a last block of 8 become zero. */
#include "repack.h"

/* Four bits of each 16-bit half spread to four bytes: bits 0-3, 4-7, 8-11, 12-15 of the low half of every 32-bit lane. */
INLINE v128_t spread(v128_t x) {
  x = wasm_v128_and(wasm_v128_or(x, wasm_i32x4_shl(x, 8)), wasm_i32x4_const_splat(0x00ff00ff));
  return wasm_v128_and(wasm_v128_or(x, wasm_i32x4_shl(x, 4)), wasm_i32x4_const_splat(0x0f0f0f0f));
}

void repack_q4(const struct repack_q4_args *a) {
  struct packed_geometry geo = packed_geometry(FORMAT_Q4, a->n, a->k, a->group);
  uint32_t words = a->k / 8, groups = a->k / a->group, per_group = a->group / 32;
  float factor = exp2i(a->shift);
  uint32_t as_stored = a->dtype == 1 && a->shift == 0; /* finite f16 are kept bit for bit */
  packed_write_header(a->dst, FORMAT_Q4, a->n, a->k, a->group, a->shift);
  for (uint32_t r = 0; r < a->rows; r += 8) {
    uint8_t *out = packed_block(a->dst, &geo, (a->row0 + r) / 8);
    const uint32_t *codes = (const uint32_t *)a->codes + (size_t)r * words;
    uint32_t here = a->rows - r < 8 ? a->rows - r : 8;
    for (uint32_t g = 0; g < groups; g++) {
      for (uint32_t b = 0; b < per_group; b++, out += 128)
        for (uint32_t h = 0; h < 2; h++) {
          v128_t v[4];
          for (uint32_t i = 0; i < 4; i++) {
            uint32_t row = h * 4 + i;
            v[i] = row < here ? load(codes + (size_t)row * words + (g * per_group + b) * 4) : zero();
          }
          v128_t a0 = wasm_i32x4_shuffle(v[0], v[1], 0, 4, 1, 5), a1 = wasm_i32x4_shuffle(v[2], v[3], 0, 4, 1, 5);
          v128_t b0 = wasm_i32x4_shuffle(v[0], v[1], 2, 6, 3, 7), b1 = wasm_i32x4_shuffle(v[2], v[3], 2, 6, 3, 7);
          v128_t t[4] = {wasm_i32x4_shuffle(a0, a1, 0, 1, 4, 5), wasm_i32x4_shuffle(a0, a1, 2, 3, 6, 7),
                         wasm_i32x4_shuffle(b0, b1, 0, 1, 4, 5), wasm_i32x4_shuffle(b0, b1, 2, 3, 6, 7)};
          for (uint32_t j = 0; j < 4; j++) {
            v128_t lo = spread(wasm_v128_and(t[j], wasm_i32x4_const_splat(0xffff))), hi = spread(wasm_u32x4_shr(t[j], 16));
            store(out + j * 32 + h * 16, wasm_v128_or(lo, wasm_i32x4_shl(hi, 4)));
          }
        }
      uint16_t *affine = (uint16_t *)out;
      if (as_stored && here == 8) {
        const uint16_t *scales = (const uint16_t *)a->scales + (size_t)r * groups + g;
        const uint16_t *biases = (const uint16_t *)a->biases + (size_t)r * groups + g;
        UNROLL for (uint32_t i = 0; i < 8; i++) affine[2 * i + 1] = scales[i * groups], affine[2 * i] = biases[i * groups];
        out += 32;
        continue;
      }
      for (uint32_t i = 0; i < 8; i++) {
        size_t at = (size_t)(r + i) * groups + g;
        affine[2 * i + 1] = i < here ? f32_to_f16(load_dtype(a->scales, at, a->dtype) * factor) : 0;
        affine[2 * i] = i < here ? f32_to_f16(load_dtype(a->biases, at, a->dtype) * factor) : 0;
      }
      out += 32;
    }
  }
}
