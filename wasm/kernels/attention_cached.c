/* attention_cached: causal attention of [rows, heads, d] queries at positions *pos.. over the cache that kv_write fills;
 * query row r sees keys 0..*pos+r. heads is a multiple of kv_heads. d <= 512. Flash-style (include/attention.h).
 * The queries of the heads that share a KV head are tiled together, so that a decoded token reads each key once for up to
 * four heads. */
#include "attention.h"

void attention_cached(const struct attention_cached_args *a) {
  uint32_t pos = *(const uint32_t *)a->pos, d = a->d, share = a->heads / a->kv_heads, total = a->rows * share;
  size_t head = (size_t)((a->ctx + 7) & ~7u) * d;
  for (uint32_t h = 0; h < a->kv_heads; h++) {
    const float *keys = (const float *)a->cache_k + h * head, *values = (const float *)a->cache_v + h * head;
    for (uint32_t i = 0; i < total; i += 4) {
      uint32_t mr = total - i < 4 ? total - i : 4;
      const float *q[4];
      float *y[4];
      uint32_t seen[4];
      for (uint32_t m = 0; m < mr; m++) {
        uint32_t r = (i + m) / share, column = (h * share + (i + m) % share) * d;
        q[m] = (const float *)a->q + (size_t)r * a->ldq + column;
        y[m] = (float *)a->y + (size_t)r * a->ldy + column;
        seen[m] = pos + r + 1 < a->ctx ? pos + r + 1 : a->ctx;
      }
      attention_queries(q, keys, values, d, seen, a->scale, y, mr);
    }
  }
}
