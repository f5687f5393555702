/* assemble_cls: y [1 + p, c]: y[0] = cls + pos[0]; y[1 + i] = patches[i] + pos[1 + i]. Dense rows.
 * cls 0: no class token, y [p, c] = patches + pos. */
#include "simd.h"

void assemble_cls(const struct assemble_cls_args *a) {
  const float *cls = a->cls, *patches = a->patches, *pos = a->pos;
  float *y = a->y;
  uint32_t first = cls ? 1 : 0;
  for (uint32_t r = 0; r < a->p + first; r++) {
    const float *x = r < first ? cls : patches + (size_t)(r - first) * a->c;
    for (uint32_t i = 0; i < a->c; i++) y[(size_t)r * a->c + i] = x[i] + pos[(size_t)r * a->c + i];
  }
}
