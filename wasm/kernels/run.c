/* run: a list of commands, each [opcode, words in all, fields...] (kernels.inc). One call from JavaScript runs a whole token.
 * 0, or 1 + the index of the first command that is not of the list or has a wrong length: nothing after it is run. */
#include "abi.h"

enum {
#define KERNEL(name, fields) OP_##name,
#include "../kernels.inc"
#undef KERNEL
};

EXPORT(run) uint32_t run(const uint32_t *list, uint32_t count) {
  for (uint32_t i = 0; i < count; i++, list += list[1]) {
    switch (list[0]) {
#define KERNEL(name, fields)                                                                                             \
  case OP_##name:                                                                                                        \
    if (list[1] != 2 + sizeof(struct name##_args) / 4) return 1 + i;                                                     \
    name((const struct name##_args *)(list + 2));                                                                        \
    break;
#include "../kernels.inc"
#undef KERNEL
    default: return 1 + i;
    }
  }
  return 0;
}
