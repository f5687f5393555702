/* The loops that linear_f32_* and linear_f16_* share; packed rows are [k][8] (include/packed.h), sums are f32.
 * `f16`, `streams` and `mr` are compile-time constants at each use. */
#ifndef LLAVA_SP_LINEAR_F_H
#define LLAVA_SP_LINEAR_F_H
#include "epilogue.h"
#include "packed.h"
#include "tile8.h"

#define X_EXPONENT 64 /* raw f16 is 2^-112 of its value: x carries 2^64 of that, the result the rest */

INLINE v128_t load_weights(const uint8_t *p, uint32_t i, const int f16, v128_t f16_mask) {
  return f16 ? load4_f16_raw(p + i * 8, f16_mask) : load(p + i * 16);
}

#define STREAMS 4

/* One row against row block i of each of the four streams; one stream is read as four equal ones (see linear_q.h). */
INLINE void gemv_f_row(const uint8_t *w, const struct packed_geometry *geo, const float *x, uint32_t k, uint32_t i, uint32_t row,
                       const struct epilogue *e, const int f16) {
  v128_t f[2 * STREAMS], mask = HELD(f16_mask), up = HELD(two_64);
  const uint8_t *p[STREAMS];
  UNROLL for (int s = 0; s < STREAMS; s++) {
    p[s] = w + (geo->streams == 1 ? 0 : (size_t)s * geo->stream_bytes) + (size_t)i * geo->block_bytes;
    f[2 * s] = zero(), f[2 * s + 1] = zero();
  }
  for (uint32_t kk = 0; kk < k; kk++) {
    v128_t xv = splat_f32(x + kk);
    if (f16) xv = wasm_f32x4_mul(xv, up);
    UNROLL for (int s = 0; s < STREAMS; s++) {
      f[2 * s] = fma_f32x4(load_weights(p[s], 0, f16, mask), xv, f[2 * s]);
      f[2 * s + 1] = fma_f32x4(load_weights(p[s], 1, f16, mask), xv, f[2 * s + 1]);
      p[s] += f16 ? 16 : 32;
    }
  }
  float sums[STREAMS * 8];
  UNROLL for (int s = 0; s < 2 * STREAMS; s++) store(sums + s * 4, f[s]);
  for (uint32_t s = 0; s < geo->streams; s++) {
    uint32_t col = (s * geo->per_stream + i) * 8;
    if (col < e->n) epilogue8(e, row, col, sums + s * 8, f16 ? 0x1p48f : 1.0f);
  }
}

INLINE void gemv_f(const struct linear_f32_gemv_args *a, const int f16) {
  struct packed_geometry geo = packed_geometry(f16 ? FORMAT_F16 : FORMAT_F32, a->n, a->k, 0);
  struct epilogue e = EPILOGUE(a);
  const uint8_t *w = (const uint8_t *)a->w + sizeof(struct packed_header);
  for (uint32_t i = 0; i < geo.per_stream; i++)
    for (uint32_t r = 0; r < a->rows; r++)
      gemv_f_row(w, &geo, (const float *)a->x + (size_t)r * a->ldx, a->k, i, r, &e, f16);
}

#define KC 512    /* a panel of 8 weight rows x KC as f32 (16 KB) stays in the first cache */
#define MC 1024   /* rows whose partial sums are kept (32 KB) */

/* mr rows x 8 columns over kc values; sums go on in `partial` [row][8]. */
INLINE void gemm_f_tile(const float *panel, const float *x, uint32_t ldx, uint32_t kc, float *partial, int first, const int mr) {
  v128_t f[8];
  const float *p[4];
  UNROLL for (int m = 0; m < mr; m++) {
    p[m] = x + (size_t)m * ldx;
    f[2 * m] = first ? zero() : load(partial + m * 8), f[2 * m + 1] = first ? zero() : load(partial + m * 8 + 4);
  }
  tile8(f, p, panel, 8, kc, mr);
  UNROLL for (int m = 0; m < mr; m++) store(partial + m * 8, f[2 * m]), store(partial + m * 8 + 4, f[2 * m + 1]);
}

INLINE void gemm_f(const struct linear_f32_gemm_args *a, float *panel_buffer, float *partial, const int f16) {
  struct packed_geometry geo = packed_geometry(f16 ? FORMAT_F16 : FORMAT_F32, a->n, a->k, 0);
  struct epilogue e = EPILOGUE(a);
  for (uint32_t r0 = 0; r0 < a->rows; r0 += MC) {
    uint32_t rows = a->rows - r0 < MC ? a->rows - r0 : MC;
    const float *x0 = (const float *)a->x + (size_t)r0 * a->ldx;
    for (uint32_t block = 0; block * 8 < a->n; block++) {
      const uint8_t *w = packed_block(a->w, &geo, block);
      for (uint32_t k0 = 0; k0 < a->k; k0 += KC) {
        uint32_t kc = a->k - k0 < KC ? a->k - k0 : KC;
        const float *panel = (const float *)w + (size_t)k0 * 8;
        if (f16) {
          v128_t factor = HELD(two_112), mask = HELD(f16_mask);
          for (uint32_t i = 0; i < kc * 2; i++)
            store(panel_buffer + i * 4, wasm_f32x4_mul(load4_f16_raw(w + (size_t)k0 * 16 + i * 8, mask), factor));
          panel = panel_buffer;
        }
        uint32_t r = 0;
        for (; r + 4 <= rows; r += 4) gemm_f_tile(panel, x0 + (size_t)r * a->ldx + k0, a->ldx, kc, partial + r * 8, k0 == 0, 4);
        for (; r < rows; r++) gemm_f_tile(panel, x0 + (size_t)r * a->ldx + k0, a->ldx, kc, partial + r * 8, k0 == 0, 1);
      }
      for (uint32_t r = 0; r < rows; r++) epilogue8(&e, r0 + r, block * 8, partial + r * 8, 1.0f);
    }
  }
}
#endif
