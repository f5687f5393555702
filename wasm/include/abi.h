/* Argument structs, prototypes and opcodes of every kernel, made from kernels.inc. wasm32: a pointer is one word. */
#ifndef LLAVA_SP_ABI_H
#define LLAVA_SP_ABI_H
#include <stddef.h>
#include <stdint.h>

#define P(field) void *field;
#define U(field) uint32_t field;
#define I(field) int32_t field;
#define F(field) float field;
#define KERNEL(name, fields)                                                                                             \
  struct name##_args {                                                                                                   \
    fields                                                                                                               \
  };                                                                                                                     \
  void name(const struct name##_args *a);
#include "../kernels.inc"
#undef KERNEL
#undef P
#undef U
#undef I
#undef F

/* What JavaScript calls besides run(): sizes in bytes, and the shift that keeps scales in f16's normal range. */
uint32_t act_q8_bytes(uint32_t rows, uint32_t k);
uint32_t packed_bytes(uint32_t format, uint32_t n, uint32_t k, uint32_t group);
uint32_t attention_scratch_bytes(uint32_t rows, uint32_t d);
uint32_t kv_cache_bytes(uint32_t kv_heads, uint32_t d, uint32_t ctx);
int32_t scales_shift(const void *scales, uint32_t count, uint32_t dtype);
uint32_t run(const uint32_t *list, uint32_t count);

#define EXPORT(name) __attribute__((export_name(#name)))
#define INLINE static inline __attribute__((always_inline))

#endif
