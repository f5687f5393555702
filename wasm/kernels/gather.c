/* gather: worker `rank` of `size` holds columns [starts[rank], starts[rank+1]) of buf [rows, ld]; afterwards all hold all.
 * Block w lies packed in the stage at rows*starts[w] floats, [rows][its columns]. */
#include "exchange.h"

void gather(const struct gather_args *a) {
  const uint32_t *starts = a->starts;
  float *stage = a->stage;
  for (uint32_t pass = 0; pass < 2; pass++) {
    for (uint32_t w = 0; w < a->size; w++) {
      if ((w == a->rank) != (pass == 0)) continue;
      uint32_t width = starts[w + 1] - starts[w];
      float *packed = stage + (size_t)a->rows * starts[w];
      for (uint32_t r = 0; r < a->rows; r++) {
        float *at = (float *)a->buf + (size_t)r * a->ld + starts[w], *block = packed + (size_t)r * width;
        if (pass == 0) __builtin_memcpy(block, at, (size_t)width * 4);
        else __builtin_memcpy(at, block, (size_t)width * 4);
      }
    }
    if (pass == 0) exchange(a->slot);
  }
}
