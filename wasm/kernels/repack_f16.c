/* repack_f16: rows of an f32, f16 or bf16 matrix into packed f16, [k][8] a row block (include/packed.h).
 * f16 is kept bit for bit; f32 and bf16 are rounded to nearest even (beyond 65504 becomes infinite: nan_check finds it).
 * f16 infinities and NaN would read as large finite numbers in the kernels: they are refused where the file is read. */
#include "repack.h"

void repack_f16(const struct repack_f16_args *a) {
  struct packed_geometry geo = packed_geometry(FORMAT_F16, a->n, a->k, 0);
  packed_write_header(a->dst, FORMAT_F16, a->n, a->k, 0, 0);
  for (uint32_t r = 0; r < a->rows; r += 8) {
    uint16_t *out = (uint16_t *)packed_block(a->dst, &geo, (a->row0 + r) / 8);
    for (uint32_t k = 0; k < a->k; k++)
      for (uint32_t i = 0; i < 8; i++) {
        size_t at = (size_t)(r + i) * a->k + k;
        *out++ = r + i >= a->rows ? 0
                 : a->dtype == 1  ? ((const uint16_t *)a->x)[at]
                                  : f32_to_f16(load_dtype(a->x, at, a->dtype));
      }
  }
}
