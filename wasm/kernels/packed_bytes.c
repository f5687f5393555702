/* packed_bytes: room for a packed [n, k] matrix. format: 0 f32, 1 f16, 2 q8, 3 q4; group counts for the last two. */
#include "packed.h"

EXPORT(packed_bytes) uint32_t packed_bytes(uint32_t format, uint32_t n, uint32_t k, uint32_t group) {
  struct packed_geometry g = packed_geometry(format, n, k, group);
  return (uint32_t)sizeof(struct packed_header) + g.streams * g.stream_bytes;
}
