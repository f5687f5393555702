/* The region that quantize_q8 writes: int8 activations of `rows` rows of length k (a multiple of 32).
 *
 * Rows are kept in tiles of four (rows 4t..4t+3); the last 1..3 rows are kept singly. Four arrays, one after the other:
 *   q8    int8 codes        tile [k/4][4 rows][4 codes]      single row [k]
 *   q16   int16 codes       tile [k/2][4 rows][2 codes]      single row [k/2][2 codes]
 *         Within each 8 codes the order is 0 2 | 4 6 | 1 3 | 5 7, which is what nibbles masked out of 16-bit lanes meet.
 *   scale f32 * 2^64        tile [k/32][4 rows]              single row [k/32]
 *   sum   f32: scale * sum of the codes, * 2^64, laid out as scale: for every 32 values, then once more for every 64, then for
 *         every 128 (rounded up): what a weight group's bias is multiplied by
 * The factor 2^64 is explained in packed.h. */
#ifndef LLAVA_SP_ACT_Q8_H
#define LLAVA_SP_ACT_Q8_H
#include "simd.h"

struct act_q8 {
  int8_t *q8;
  int16_t *q16;
  float *scale, *sum[3];
};

/* Groups of 32 << level in a row. */
INLINE uint32_t act_q8_groups(uint32_t k, uint32_t level) { return (k / 32 + (1u << level) - 1) >> level; }

INLINE struct act_q8 act_q8_at(const void *q, uint32_t rows, uint32_t k) {
  struct act_q8 a;
  a.q8 = (int8_t *)q;
  a.q16 = (int16_t *)(a.q8 + (size_t)rows * k);
  a.scale = (float *)(a.q16 + (size_t)rows * k);
  a.sum[0] = a.scale + (size_t)rows * act_q8_groups(k, 0);
  a.sum[1] = a.sum[0] + (size_t)rows * act_q8_groups(k, 0);
  a.sum[2] = a.sum[1] + (size_t)rows * act_q8_groups(k, 1);
  return a;
}

/* The arrays from row r on (r a multiple of 4, or a single row of the tail): every row takes the same room. */
INLINE struct act_q8 act_q8_row(struct act_q8 a, uint32_t r, uint32_t k) {
  a.q8 += (size_t)r * k, a.q16 += (size_t)r * k, a.scale += (size_t)r * (k / 32);
  for (uint32_t level = 0; level < 3; level++) a.sum[level] += (size_t)r * act_q8_groups(k, level);
  return a;
}

/* Which sums belong to weight groups of 32, 64, 128. */
INLINE uint32_t act_q8_level(uint32_t group) { return group == 32 ? 0 : group == 64 ? 1 : 2; }
#endif
