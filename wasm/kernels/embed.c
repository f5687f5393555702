/* embed: y[r, 0..k) = packed row ids[r] - row0, dequantised, where that is in [0, n); other rows of y are left as they are
 * (another worker holds them). Packed layouts: include/packed.h. */
#include "repack.h"

static void embed_q(float *y, const uint8_t *block, uint32_t lane, uint32_t k, uint32_t group, int32_t shift, int bits) {
  float unshift = exp2i(-shift);
  uint32_t h = lane / 4, l = lane % 4;
  for (uint32_t g = 0; g < k / group; g++) {
    const uint8_t *codes = block;
    block += group * bits;
    float scale = f16_to_f32(((const uint16_t *)block)[bits == 4 ? 2 * lane + 1 : lane]) * unshift;
    float bias = bits == 4 ? f16_to_f32(((const uint16_t *)block)[2 * lane]) * unshift
                           : ((const float *)(block + 16))[lane] * 0x1p112f * unshift;
    for (uint32_t b = 0; b < group; b += 32, y += 32, codes += 32 * bits) {
      if (bits == 8) {
        for (uint32_t t = 0; t < 16; t++) {
          const int8_t *c = (const int8_t *)codes + t * 16 + lane * 2;
          y[pair_first(t)] = scale * c[0] + bias;
          y[pair_first(t) + 2] = scale * c[1] + bias;
        }
      } else {
        for (uint32_t j = 0; j < 4; j++)
          for (uint32_t p = 0; p < 4; p++) {
            uint8_t c = codes[j * 32 + h * 16 + l * 4 + p];
            y[j * 8 + p] = scale * (c & 15) + bias;
            y[j * 8 + 4 + p] = scale * (c >> 4) + bias;
          }
      }
    }
    block += bits == 4 ? 32 : 48;
  }
}

void embed(const struct embed_args *a) {
  struct packed_geometry geo = packed_geometry(a->format, a->n, a->k, a->group);
  for (uint32_t r = 0; r < a->rows; r++) {
    uint32_t row = ((const uint32_t *)a->ids)[r] - a->row0; /* ids before row0 wrap to something large */
    if (row >= a->n) continue;
    float *y = (float *)a->y + (size_t)r * a->ldy;
    const uint8_t *block = packed_block(a->w, &geo, row / 8);
    uint32_t lane = row % 8;
    if (a->format == FORMAT_F32) {
      for (uint32_t i = 0; i < a->k; i++) y[i] = ((const float *)block)[i * 8 + lane];
    } else if (a->format == FORMAT_F16) {
      for (uint32_t i = 0; i < a->k; i++) y[i] = f16_to_f32(((const uint16_t *)block)[i * 8 + lane]);
    } else {
      embed_q(y, block, lane, a->k, a->group, packed_shift(a->w), a->format == FORMAT_Q4 ? 4 : 8);
    }
  }
}
