/* attention: y = softmax(q k^T * scale) v for each head of [rows, heads, d]; every query sees every key (ViT). d <= 512.
 * The head's keys and values are first packed into scratch (include/attention.h): in the activations their rows lie a
 * multiple of 4 KB apart, which would put them all into the same few cache sets. */
#include "attention.h"

EXPORT(attention_scratch_bytes) uint32_t attention_scratch_bytes(uint32_t rows, uint32_t d) {
  return ((rows + 7) & ~7u) * d * 8 + 64;
}

void attention_queries(const float *const *q, const float *keys, const float *values, uint32_t d, const uint32_t *seen,
                       float scale, float *const *y, uint32_t mr) {
  static struct attention_tile tile;
  switch (mr) {
  case 1: attention_mr(&tile, q, keys, values, d, seen, scale, y, 1); break;
  case 2: attention_mr(&tile, q, keys, values, d, seen, scale, y, 2); break;
  case 3: attention_mr(&tile, q, keys, values, d, seen, scale, y, 3); break;
  default: attention_mr(&tile, q, keys, values, d, seen, scale, y, 4); break;
  }
}

void attention(const struct attention_args *a) {
  uint32_t d = a->d, padded = (a->rows + 7) & ~7u;
  float *keys = a->scratch, *values = keys + (size_t)padded * d;
  for (uint32_t h = 0; h < a->heads; h++) {
    for (uint32_t t = 0; t < padded; t++) {
      const float *k = (const float *)a->k + (size_t)t * a->ldk + h * d, *v = (const float *)a->v + (size_t)t * a->ldv + h * d;
      float *to = keys + (size_t)(t / 8) * d * 8 + t % 8;
      for (uint32_t i = 0; i < d; i++) to[i * 8] = t < a->rows ? k[i] : 0;
      if (t < a->rows) __builtin_memcpy(values + (size_t)t * d, v, d * 4);
    }
    for (uint32_t r = 0; r < a->rows; r += 4) {
      uint32_t mr = a->rows - r < 4 ? a->rows - r : 4;
      const float *q[4];
      float *y[4];
      uint32_t seen[4];
      for (uint32_t m = 0; m < mr; m++) {
        q[m] = (const float *)a->q + (size_t)(r + m) * a->ldq + h * d;
        y[m] = (float *)a->y + (size_t)(r + m) * a->ldy + h * d;
        seen[m] = a->rows;
      }
      attention_queries(q, keys, values, d, seen, a->scale, y, mr);
    }
  }
}
