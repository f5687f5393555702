/* repack_q8: rows of an MLX affine int8 tensor into the packed q8 layout (include/packed.h).
 * codes u8 [rows][k] (u32 words, lowest bits first); scales, biases [rows][k/group] of dtype.
 * Codes become signed (less 128), the bias takes 128*scale for it. */
#include "repack.h"

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
        for (uint32_t i = 0; i < 8; i++) {
          const uint8_t *in = codes + (size_t)i * a->k + g * a->group + b * 32;
          for (uint32_t t = 0; t < 16; t++) {
            uint8_t *to = out + t * 16 + i * 2;
            to[0] = i < here ? in[pair_first(t)] ^ 0x80 : 0;
            to[1] = i < here ? in[pair_first(t) + 2] ^ 0x80 : 0;
          }
        }
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
