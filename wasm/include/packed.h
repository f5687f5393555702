/* The packed layout of weight matrices [n, k].
 *
 * A 64-byte header, then row blocks of 8 rows, in up to four streams: stream s holds the row blocks
 * [s*per_stream, (s+1)*per_stream). A GEMV reads the four streams side by side, because one stream stalls at page borders;
 * the stride between them is 1088 bytes past a multiple of 4096, so that they never fall into the same cache sets.
 * Missing rows (n no multiple of 8, streams of unequal length) are zero.
 *
 * Row block by format:
 *   f32  [k][8] f32
 *   f16  [k][8] f16
 *   q4   [k/group] of { [group/32] of 128 bytes of codes; 8 of { f16 bias; f16 scale } }
 *        128 bytes: [4 j][2 halves of 4 rows][4 rows][4 bytes]: byte p = code k=8j+p | code k=8j+4+p << 4
 *   q8   [k/group] of { [group/32] of 256 bytes of codes; 8 f16 scales; 8 f32 biases }
 *        256 bytes: [16 pairs t][2 halves][4 rows][2 bytes], codes less 128, pair t = q16 pair t of include/act_q8.h;
 *        the bias holds +128*scale for that
 * q4 and q8 scales (and q4 biases) are f16 of value * 2^shift; q8 biases are f32 of value * 2^(shift-112). The shift is in
 * the header. */
#ifndef LLAVA_SP_PACKED_H
#define LLAVA_SP_PACKED_H
#include "simd.h"

enum { FORMAT_F32, FORMAT_F16, FORMAT_Q8, FORMAT_Q4 };

struct packed_header {
  uint32_t format, n, k, group;
  int32_t shift;
  uint32_t unused[11];
};

struct packed_geometry {
  uint32_t streams, per_stream, block_bytes, stream_bytes;
};

INLINE uint32_t packed_block_bytes(uint32_t format, uint32_t k, uint32_t group) {
  switch (format) {
  case FORMAT_F32: return k * 32;
  case FORMAT_F16: return k * 16;
  case FORMAT_Q8: return k / group * (group * 8 + 48);
  default: return k / group * (group * 4 + 32);
  }
}

INLINE struct packed_geometry packed_geometry(uint32_t format, uint32_t n, uint32_t k, uint32_t group) {
  struct packed_geometry g;
  uint32_t blocks = (n + 7) / 8;
  g.streams = blocks >= 4 ? 4 : 1;
  g.per_stream = (blocks + g.streams - 1) / g.streams;
  g.block_bytes = packed_block_bytes(format, k, group);
  g.stream_bytes = (g.per_stream * g.block_bytes + 63) & ~63u;
  if (g.streams > 1) g.stream_bytes += (1088 - g.stream_bytes) & 4095;
  return g;
}

INLINE uint8_t *packed_block(const void *w, const struct packed_geometry *g, uint32_t block) {
  return (uint8_t *)w + sizeof(struct packed_header) + (size_t)(block / g->per_stream) * g->stream_bytes +
         (size_t)(block % g->per_stream) * g->block_bytes;
}

INLINE int32_t packed_shift(const void *w) { return ((const struct packed_header *)w)->shift; }

INLINE void packed_write_header(void *w, uint32_t format, uint32_t n, uint32_t k, uint32_t group, int32_t shift) {
  struct packed_header *h = w;
  h->format = format, h->n = n, h->k = k, h->group = group, h->shift = shift;
}

/* Quantised kernels sum (raw f16 scale) * (activation scale * 2^ACT_EXPONENT): far from f32's under- and overflow both ways.
 * The result times packed_factor is the value. */
#define ACT_EXPONENT 64
INLINE float packed_factor(const void *w) { return exp2i(F16_BIAS - ACT_EXPONENT - packed_shift(w)); }
#endif
