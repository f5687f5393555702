/* take: y[r] = table[ids[r]] on rows of cols values with strides; an id past the end takes the last of the table's n rows. */
#include "simd.h"

void take(const struct take_args *a) {
  const uint32_t *ids = a->ids;
  for (uint32_t r = 0; r < a->rows; r++) {
    uint32_t id = ids[r] < a->n ? ids[r] : a->n - 1;
    __builtin_memcpy((float *)a->y + (size_t)r * a->ldy, (const float *)a->table + (size_t)id * a->ldtable, (size_t)a->cols * 4);
  }
}
