/* run: a list of commands, each [opcode, words in all, fields...] (kernels.inc). One call from JavaScript runs a whole token.
 * 0, or 1 + the index of the first command that is not of the list or has a wrong length: nothing after it is run. */
#include "abi.h"

/* Calls go through a table: inlined into one function, the kernels would share one register allocation. */
static const struct {
  void (*call)(const void *fields);
  uint32_t words;
} table[] = {
#define KERNEL(name, fields) {(void (*)(const void *))name, 2 + sizeof(struct name##_args) / 4},
#include "../kernels.inc"
#undef KERNEL
};

EXPORT(run) uint32_t run(const uint32_t *list, uint32_t count) {
  for (uint32_t i = 0; i < count; i++, list += list[1]) {
    if (list[0] >= sizeof table / sizeof table[0] || list[1] != table[list[0]].words) return 1 + i;
    table[list[0]].call(list + 2);
  }
  return 0;
}
