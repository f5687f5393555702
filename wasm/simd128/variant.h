/* The `simd` build: plain SIMD128; products of int8 go through i32x4.dot_i16x8. */
#ifndef LLAVA_SP_VARIANT_H
#define LLAVA_SP_VARIANT_H
#define RELAXED 0
INLINE v128_t fma_f32x4(v128_t a, v128_t b, v128_t c) { return wasm_f32x4_add(wasm_f32x4_mul(a, b), c); }
#endif
