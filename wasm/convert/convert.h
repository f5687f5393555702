/* What the parts of convert.wasm share. A module of its own: a converter runs it in worker threads, models never load it.
 * Plain SIMD128 only: the bytes of a converted model must not depend on the machine, and relaxed operations do. */
#ifndef LLAVA_SP_CONVERT_H
#define LLAVA_SP_CONVERT_H
#include "simd.h"

/* Element types, as load_dtype (simd.h) and the callers number them. */
enum { F32 = 0, F16 = 1, BF16 = 2 };

/* What became of the values of one call; the caller clears it. */
struct stats {
  double error; /* sum of (stored - wanted)^2 */
  double norm;  /* sum of wanted^2; not finite when a wanted value is not */
  uint32_t overflow; /* values, scales or biases past f16's range */
};
#endif
