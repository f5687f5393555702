/* repack_f32: rows of an f32, f16 or bf16 matrix into packed f32, [k][8] a row block (include/packed.h). */
#include "repack.h"

void repack_f32(const struct repack_f32_args *a) {
  struct packed_geometry geo = packed_geometry(FORMAT_F32, a->n, a->k, 0);
  packed_write_header(a->dst, FORMAT_F32, a->n, a->k, 0, 0);
  for (uint32_t r = 0; r < a->rows; r += 8) {
    float *out = (float *)packed_block(a->dst, &geo, (a->row0 + r) / 8);
    for (uint32_t k = 0; k < a->k; k++)
      for (uint32_t i = 0; i < 8; i++) *out++ = r + i < a->rows ? load_dtype(a->x, (r + i) * a->k + k, a->dtype) : 0;
  }
}
