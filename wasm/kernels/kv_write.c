/* kv_write: keys and values [rows, kv_heads, d] into the cache at positions *pos.. of a context of ctx.
 * Layout of each head: keys [ctx/8][d][8] (eight keys side by side, include/attention.h), values [ctx][d]; ctx is rounded up
 * to a multiple of 8 for the room of a head, which is also what kv_cache_bytes counts (equal to kv_heads*ctx*d*4 where ctx is
 * such a multiple). The first t positions of a head are the first ceil(t/8)*8*d floats of it. */
#include "simd.h"

EXPORT(kv_cache_bytes) uint32_t kv_cache_bytes(uint32_t kv_heads, uint32_t d, uint32_t ctx) {
  return kv_heads * ((ctx + 7) & ~7u) * d * 4;
}

void kv_write(const struct kv_write_args *a) {
  uint32_t pos = *(const uint32_t *)a->pos, d = a->d;
  size_t head = (size_t)((a->ctx + 7) & ~7u) * d;
  for (uint32_t r = 0; r < a->rows; r++) {
    uint32_t t = pos + r;
    if (t >= a->ctx) return; /* the caller refuses longer prompts; never write outside the cache */
    for (uint32_t h = 0; h < a->kv_heads; h++) {
      const float *k = (const float *)a->k + (size_t)r * a->ldk + h * d, *v = (const float *)a->v + (size_t)r * a->ldv + h * d;
      float *to = (float *)a->cache_k + h * head + (size_t)(t / 8) * d * 8 + t % 8;
      for (uint32_t i = 0; i < d; i++) to[i * 8] = k[i];
      __builtin_memcpy((float *)a->cache_v + h * head + (size_t)t * d, v, d * 4);
    }
  }
}
