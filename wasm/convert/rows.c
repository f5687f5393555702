/* What is done to rows before they are stored: all in f32. */
#include "convert.h"

/* A panel is 8 columns: 4 rows of W take 8 accumulators, which leaves registers for the operands. */
#define PANEL 8

/* A [rank, cols] to panels [ceil(cols / 8), rank, 8], the last one filled up with zeros: the merge then reads A in order. */
EXPORT(pack_a) void pack_a(const float *a, float *panels, uint32_t rank, uint32_t cols) {
  for (uint32_t c = 0; c < cols; c += PANEL) {
    for (uint32_t r = 0; r < rank; r++) {
      for (uint32_t i = 0; i < PANEL; i++) *panels++ = c + i < cols ? a[(uint64_t)r * cols + c + i] : 0;
    }
  }
}

/* w [rows, cols] += scale * b [rows, rank] * A, A in panels. Rows of w are `stride` floats apart, a multiple of 8. `scratch`
 * takes 4 * rank floats. */
EXPORT(merge_lora)
void merge_lora(float *w, const float *b, const float *panels, float *scratch, float scale, uint32_t rows, uint32_t cols,
                uint32_t stride, uint32_t rank) {
  for (uint32_t row = 0; row < rows; row += 4) {
    uint32_t some = rows - row < 4 ? rows - row : 4;
    for (uint32_t r = 0; r < rank; r++) {
      for (uint32_t i = 0; i < 4; i++) scratch[4 * r + i] = i < some ? scale * b[(uint64_t)(row + i) * rank + r] : 0;
    }
    for (uint32_t c = 0; c < cols; c += PANEL) {
      const float *a = panels + (uint64_t)c * rank, *s = scratch;
      v128_t sum[4][2];
      for (int i = 0; i < 4; i++) sum[i][0] = sum[i][1] = wasm_f32x4_const_splat(0);
      for (uint32_t r = 0; r < rank; r++, a += PANEL, s += 4) {
        v128_t left = load(a), right = load(a + 4);
#pragma clang loop unroll(full)
        for (int i = 0; i < 4; i++) {
          v128_t x = splat_f32(s + i);
          sum[i][0] = wasm_f32x4_add(sum[i][0], wasm_f32x4_mul(x, left));
          sum[i][1] = wasm_f32x4_add(sum[i][1], wasm_f32x4_mul(x, right));
        }
      }
      for (uint32_t i = 0; i < some; i++) {
        float *to = w + (uint64_t)(row + i) * stride + c;
        store(to, wasm_f32x4_add(load(to), sum[i][0]));
        store(to + 4, wasm_f32x4_add(load(to + 4), sum[i][1]));
      }
    }
  }
}

/* w[i] *= scale */
EXPORT(scale_row) void scale_row(float *w, uint32_t n, float scale) {
  for (uint32_t i = 0; i < n; i++) w[i] *= scale;
}

/* One row of a convolution, [in, cells] to [cells, in]; blocks of 16, so that both sides stay in the first cache. */
EXPORT(cells_first) void cells_first(const float *src, float *dst, uint32_t in, uint32_t cells) {
  for (uint32_t c0 = 0; c0 < in; c0 += 16) {
    uint32_t c1 = c0 + 16 < in ? c0 + 16 : in;
    for (uint32_t p0 = 0; p0 < cells; p0 += 16) {
      uint32_t p1 = p0 + 16 < cells ? p0 + 16 : cells;
      for (uint32_t p = p0; p < p1; p++) {
        for (uint32_t c = c0; c < c1; c++) dst[(uint64_t)p * in + c] = src[(uint64_t)c * cells + p];
      }
    }
  }
}
