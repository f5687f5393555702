/* What the repack kernels share. */
#ifndef LLAVA_SP_REPACK_H
#define LLAVA_SP_REPACK_H
#include "packed.h"

/* Pair t (0..15) of 32 codes meets pair t of q16 (act_q8.h): k offsets 8*(t/4) + {0,2 | 4,6 | 1,3 | 5,7}. */
INLINE uint32_t pair_first(uint32_t t) {
  uint32_t u = t & 3;
  return (t >> 2) * 8 + (u & 1) * 4 + (u >> 1);
}
#endif
