/* The `relaxed` build: fused multiply-add, and int8 x 7-bit dot products (weights, as codes 0..15, are the 7-bit side). */
#ifndef LLAVA_SP_VARIANT_H
#define LLAVA_SP_VARIANT_H
#define RELAXED 1
INLINE v128_t fma_f32x4(v128_t a, v128_t b, v128_t c) { return __builtin_wasm_relaxed_madd_f32x4(a, b, c); }
/* opcode 0x112: eight i16 sums of two products */
INLINE v128_t dot2_i8(v128_t a, v128_t w) { return __builtin_wasm_relaxed_dot_i8x16_i7x16_s_i16x8(a, w); }
/* opcode 0x113: four i32 sums of four products, added to c */
INLINE v128_t dot4_i8(v128_t a, v128_t w, v128_t c) { return __builtin_wasm_relaxed_dot_i8x16_i7x16_add_s_i32x4(a, w, c); }
#endif
