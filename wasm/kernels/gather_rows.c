/* gather_rows: row r of buf [rows, ld] belongs to the worker w with starts[w] <= ids[r] < starts[w+1]; afterwards all hold all.
 * Every worker's block in the stage is [rows][cols] at w*rows*cols floats; only its own rows mean anything. */
#include "exchange.h"

void gather_rows(const struct gather_rows_args *a) {
  const uint32_t *starts = a->starts, *ids = a->ids;
  size_t block = (size_t)a->rows * a->cols;
  for (uint32_t pass = 0; pass < 2; pass++) {
    for (uint32_t w = 0; w < a->size; w++) {
      if ((w == a->rank) != (pass == 0)) continue;
      for (uint32_t r = 0; r < a->rows; r++) {
        if (ids[r] < starts[w] || ids[r] >= starts[w + 1]) continue;
        float *at = (float *)a->buf + (size_t)r * a->ld, *packed = (float *)a->stage + w * block + (size_t)r * a->cols;
        if (pass == 0) __builtin_memcpy(packed, at, (size_t)a->cols * 4);
        else __builtin_memcpy(at, packed, (size_t)a->cols * 4);
      }
    }
    if (pass == 0) exchange(a->slot);
  }
}
