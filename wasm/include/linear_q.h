/* The loops that linear_q4_* and linear_q8_* share. `bits` and `streams` and `mr` are compile-time constants at each use.
 *
 * y[m,n] = factor * sum over groups of ( scale[n,g] * sum over its blocks of xs[m,b] * (codes . codes)
 *                                       + bias[n,g] * sum over its blocks of xsum[m,b] )
 * The integer sums are exact, so GEMV and GEMM, relaxed and plain, differ by f32 rounding only. */
#ifndef LLAVA_SP_LINEAR_Q_H
#define LLAVA_SP_LINEAR_Q_H
#include "act_q8.h"
#include "block_dot.h"
#include "epilogue.h"
#include "packed.h"


/* The activation array that block_dot reads, in bytes: int8 codes (1 a value) or int16 codes (2). */
INLINE const uint8_t *act_codes(struct act_q8 q, const int bits) {
  return bits == 4 && Q4_ACT_BYTES == 1 ? (const uint8_t *)q.q8 : (const uint8_t *)q.q16;
}
INLINE uint32_t act_code_bytes(const int bits) { return bits == 4 ? Q4_ACT_BYTES : 2; }

struct masks {
  v128_t code, f16;
};
INLINE struct masks held_masks(void) { return (struct masks){HELD(CODE_MASK), HELD(f16_mask)}; }

/* Scales and biases (raw, see packed.h) of half h (4 rows) of a group; q4 has both of a row in one word: one load, and the
 * shift by 3 puts a sign-extended f16 in the upper half where load4_f16_raw's shift by 13 puts one from the lower half. */
struct affine {
  v128_t scale, bias;
};
INLINE struct affine group_affine(const uint8_t *s, uint32_t h, v128_t f16_mask, const int bits) {
  if (bits == 8) return (struct affine){load4_f16_raw(s + h * 8, f16_mask), load(s + 16 + h * 16)};
  v128_t v = load(s + h * 16);
  return (struct affine){wasm_v128_and(wasm_i32x4_shr(v, 3), f16_mask),
                         wasm_v128_and(wasm_i32x4_shr(wasm_i32x4_shl(v, 16), 3), f16_mask)};
}

#define STREAMS 4

/* One activation row against row block i of each of the four streams. A matrix of one stream (fewer than 4 row blocks) is read
 * as four equal ones, and only the first result is kept. */
INLINE void gemv_row(const uint8_t *w, const struct packed_geometry *geo, struct act_q8 q, uint32_t groups, uint32_t per_group,
                     uint32_t i, uint32_t row, float factor, const struct epilogue *e, const int bits, const int form) {
  const struct masks masks = held_masks();
  v128_t f[2 * STREAMS];
  const uint8_t *p[STREAMS];
  UNROLL for (int s = 0; s < STREAMS; s++) {
    p[s] = w + (geo->streams == 1 ? 0 : (size_t)s * geo->stream_bytes) + (size_t)i * geo->block_bytes;
    f[2 * s] = zero(), f[2 * s + 1] = zero();
  }
  const uint8_t *x = act_codes(q, bits);
  const float *xs = q.scale, *xsum = q.sum[act_q8_level(per_group * 32)];
  for (uint32_t g = 0; g < groups; g++) {
    v128_t t[2 * STREAMS], d[2 * STREAMS], sum = splat_f32(xsum++), scale = splat_f32(xs++);
    gemv_block(p, x, d, masks.code, bits, form);
    UNROLL for (int s = 0; s < 2 * STREAMS; s++) t[s] = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(d[s]), scale);
    UNROLL for (int s = 0; s < STREAMS; s++) p[s] += bits * 32;
    x += 32 * act_code_bytes(bits);
    for (uint32_t b = 1; b < per_group; b++) {
      scale = splat_f32(xs++);
      gemv_block(p, x, d, masks.code, bits, form);
      UNROLL for (int s = 0; s < 2 * STREAMS; s++) t[s] = fma_f32x4(wasm_f32x4_convert_i32x4(d[s]), scale, t[s]);
      UNROLL for (int s = 0; s < STREAMS; s++) p[s] += bits * 32;
      x += 32 * act_code_bytes(bits);
    }
    UNROLL for (int s = 0; s < STREAMS; s++) {
      UNROLL for (int h = 0; h < 2; h++) {
        struct affine a = group_affine(p[s], h, masks.f16, bits);
        f[2 * s + h] = fma_f32x4(sum, a.bias, fma_f32x4(t[2 * s + h], a.scale, f[2 * s + h]));
      }
      p[s] += bits == 4 ? 32 : 48;
    }
  }
  float sums[STREAMS * 8];
  UNROLL for (int s = 0; s < 2 * STREAMS; s++) store(sums + s * 4, f[s]);
  for (uint32_t s = 0; s < geo->streams; s++) {
    uint32_t col = (s * geo->per_stream + i) * 8;
    if (col < e->n) epilogue8(e, row, col, sums + s * 8, factor);
  }
}

/* mr rows (first: row, activations at q) against one row block. A full tile of four has its rows interleaved. */
INLINE void gemm_tile(const uint8_t *w, struct act_q8 q, uint32_t k, uint32_t groups, uint32_t per_group, uint32_t row,
                      uint32_t col, float factor, const struct epilogue *e, const int bits, const int mr) {
  const struct masks masks = held_masks();
  v128_t f[8];
  UNROLL for (int i = 0; i < 2 * mr; i++) f[i] = zero();
  const uint8_t *x = act_codes(q, bits);
  const float *xs = q.scale, *xsum = q.sum[act_q8_level(per_group * 32)];
  const uint32_t bytes = act_code_bytes(bits);
  const uint32_t code_row = mr == 4 ? 4 : k * bytes, code_step = mr == 4 ? 16 : 4;
  const uint32_t scale_row = mr == 4 ? 1 : k / 32, scale_step = mr == 4 ? 4 : 1;
  const uint32_t sum_row = mr == 4 ? 1 : groups;
  for (uint32_t g = 0; g < groups; g++) {
    v128_t t[8], d[8], sum[4];
    gemm_block(w, x, code_row, code_step, d, masks.code, bits, mr);
    UNROLL for (int i = 0; i < 2 * mr; i++)
      t[i] = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(d[i]), splat_f32(xs + i / 2 * scale_row));
    xs += scale_step, w += bits * 32, x += 8 * code_step * bytes;
    for (uint32_t b = 1; b < per_group; b++) {
      gemm_block(w, x, code_row, code_step, d, masks.code, bits, mr);
      UNROLL for (int i = 0; i < 2 * mr; i++)
        t[i] = fma_f32x4(wasm_f32x4_convert_i32x4(d[i]), splat_f32(xs + i / 2 * scale_row), t[i]);
      xs += scale_step, w += bits * 32, x += 8 * code_step * bytes;
    }
    UNROLL for (int m = 0; m < mr; m++) sum[m] = splat_f32(xsum + m * sum_row);
    xsum += scale_step;
    UNROLL for (int h = 0; h < 2; h++) {
      struct affine a = group_affine(w, h, masks.f16, bits);
      UNROLL for (int m = 0; m < mr; m++) {
        f[2 * m + h] = fma_f32x4(sum[m], a.bias, fma_f32x4(t[2 * m + h], a.scale, f[2 * m + h]));
      }
    }
    w += bits == 4 ? 32 : 48;
  }
  float sums[8 * 4];
  UNROLL for (int i = 0; i < 2 * mr; i++) store(sums + i * 4, f[i]);
  for (int m = 0; m < mr; m++) epilogue8(e, row + m, col, sums + m * 8, factor);
}

INLINE void gemm_q(const struct linear_q4_gemm_args *a, const int bits) {
  struct packed_geometry geo = packed_geometry(bits == 4 ? FORMAT_Q4 : FORMAT_Q8, a->n, a->k, a->group);
  struct epilogue e = EPILOGUE(a);
  struct act_q8 q = act_q8_at(a->q, a->rows, a->k);
  float factor = packed_factor(a->w);
  uint32_t groups = a->k / a->group, per_group = a->group / 32, tiled = a->rows & ~3u;
  /* weights outside: a row block stays in the first cache while all activations pass it */
  for (uint32_t block = 0; block * 8 < a->n; block++) {
    const uint8_t *w = packed_block(a->w, &geo, block);
    for (uint32_t r = 0; r < tiled; r += 4)
      gemm_tile(w, act_q8_row(q, r, a->k), a->k, groups, per_group, r, block * 8, factor, &e, bits, 4);
    struct act_q8 tail = act_q8_row(q, tiled, a->k);
    switch (a->rows & 3) {
    case 1: gemm_tile(w, tail, a->k, groups, per_group, tiled, block * 8, factor, &e, bits, 1); break;
    case 2: gemm_tile(w, tail, a->k, groups, per_group, tiled, block * 8, factor, &e, bits, 2); break;
    case 3: gemm_tile(w, tail, a->k, groups, per_group, tiled, block * 8, factor, &e, bits, 3); break;
    }
  }
}

/* rows of a full tile are interleaved, which only the GEMM reads: from four rows on it is the better kernel anyway */
INLINE int gemv_q(const struct linear_q4_gemv_args *a, const int bits, const int form) {
  if (a->rows >= 4) return 0;
  struct packed_geometry geo = packed_geometry(bits == 4 ? FORMAT_Q4 : FORMAT_Q8, a->n, a->k, a->group);
  struct epilogue e = EPILOGUE(a);
  struct act_q8 q = act_q8_at(a->q, a->rows, a->k);
  float factor = packed_factor(a->w);
  uint32_t groups = a->k / a->group, per_group = a->group / 32;
  const uint8_t *w = (const uint8_t *)a->w + sizeof(struct packed_header);
  for (uint32_t i = 0; i < geo.per_stream; i++)
    for (uint32_t r = 0; r < a->rows; r++) {
      struct act_q8 x = act_q8_row(q, r, a->k);
      gemv_row(w, &geo, x, groups, per_group, i, r, factor, &e, bits, form);
    }
  return 1;
}
#endif
