/* Affine quantisation in MLX's layout: w = scale * code + bias for each group of a row, scale and bias in f16.
 *
 * Plain min/max spends the codes on the outliers of a group. Here several ranges are tried, each shrunk about its middle;
 * scale and bias are fitted to the codes of each by least squares, rounded to f16, the codes chosen anew for what is really
 * stored, and the squared error counted. The smallest wins; min/max is among them, so it is never worse. */
#include "convert.h"

/* Ranges relative to max - min. Eight bits gain little: the steps are small, and outliers cost few of them. */
static const float shrink4[] = {1.0f, 0.95f, 0.9f, 0.85f, 0.8f, 0.74f};
static const float shrink8[] = {1.0f, 0.99f};

struct fit {
  float scale, bias; /* values of f16 */
  float error;
  double next_scale, next_sum_q; /* the least-squares scale of these codes, and their sum */
};

/* The codes of (scale, bias) on n values: their error, and what the next least-squares fit needs. */
INLINE void measure(const float *x, uint32_t n, float levels, double sum_x, struct fit *f) {
  const float inverse = f->scale > 0 ? 1 / f->scale : 0;
  const v128_t scale = wasm_f32x4_splat(f->scale), bias = wasm_f32x4_splat(f->bias), inv = wasm_f32x4_splat(inverse);
  const v128_t zero = wasm_f32x4_const_splat(0), most = wasm_f32x4_splat(levels);
  v128_t error = zero, q1 = zero, q2 = zero, qx = zero;
  for (uint32_t i = 0; i < n; i += 4) {
    v128_t v = wasm_v128_load(x + i);
    v128_t q = wasm_f32x4_nearest(wasm_f32x4_mul(wasm_f32x4_sub(v, bias), inv));
    q = wasm_f32x4_pmin(wasm_f32x4_pmax(q, zero), most);
    v128_t d = wasm_f32x4_sub(wasm_f32x4_add(wasm_f32x4_mul(scale, q), bias), v);
    error = wasm_f32x4_add(error, wasm_f32x4_mul(d, d));
    q1 = wasm_f32x4_add(q1, q);
    q2 = wasm_f32x4_add(q2, wasm_f32x4_mul(q, q));
    qx = wasm_f32x4_add(qx, wasm_f32x4_mul(q, v));
  }
  f->error = sum4(error);
  double s1 = sum4(q1), det = n * (double)sum4(q2) - s1 * s1;
  f->next_sum_q = s1;
  f->next_scale = det > 0 ? (n * (double)sum4(qx) - s1 * sum_x) / det : 0;
}

INLINE float round_f16(float f) { return f16_to_f32(f32_to_f16(f)); }

/* The scale and bias of one group. */
static struct fit choose(const float *x, uint32_t n, uint32_t bits, uint32_t tries) {
  v128_t low = wasm_v128_load(x), high = low, total = low;
  for (uint32_t i = 4; i < n; i += 4) {
    v128_t v = wasm_v128_load(x + i);
    low = wasm_f32x4_pmin(low, v);
    high = wasm_f32x4_pmax(high, v);
    total = wasm_f32x4_add(total, v);
  }
  float min = wasm_f32x4_extract_lane(low, 0), max = wasm_f32x4_extract_lane(high, 0);
  float edges[3][2] = {{wasm_f32x4_extract_lane(low, 1), wasm_f32x4_extract_lane(high, 1)},
                       {wasm_f32x4_extract_lane(low, 2), wasm_f32x4_extract_lane(high, 2)},
                       {wasm_f32x4_extract_lane(low, 3), wasm_f32x4_extract_lane(high, 3)}};
  for (int i = 0; i < 3; i++) {
    if (edges[i][0] < min) min = edges[i][0];
    if (edges[i][1] > max) max = edges[i][1];
  }
  const float levels = (float)((1 << bits) - 1), range = max - min, middle = min + 0.5f * range;
  const double sum_x = sum4(total);
  const float *shrink = bits == 4 ? shrink4 : shrink8;
  const uint32_t all = bits == 4 ? sizeof shrink4 / 4 : sizeof shrink8 / 4;
  if (tries > all) tries = all;

  struct fit best = {round_f16(range / levels), round_f16(min), 0, 0, 0};
  measure(x, n, levels, sum_x, &best);
  if (tries == 0) return best;
  for (uint32_t t = 0; t < tries; t++) {
    struct fit f = {0};
    if (t == 0) f = best;
    else {
      f.scale = shrink[t] * range / levels;
      f.bias = middle - 0.5f * shrink[t] * range;
      measure(x, n, levels, sum_x, &f);
    }
    /* The bias is fitted to the scale as it is stored. */
    f.scale = round_f16((float)f.next_scale);
    f.bias = round_f16((float)((sum_x - f.scale * f.next_sum_q) / n));
    measure(x, n, levels, sum_x, &f);
    if (f.error < best.error) best = f;
  }
  for (int again = 0; again < 2; again++) {
    struct fit f = {round_f16((float)best.next_scale), 0, 0, 0, 0};
    f.bias = round_f16((float)((sum_x - f.scale * best.next_sum_q) / n));
    measure(x, n, levels, sum_x, &f);
    if (!(f.error < best.error)) break;
    best = f;
  }
  return best;
}

/* Rows of `cols` floats, `stride` apart, to codes [rows, cols * bits / 32] (u32, lowest bits first), scales and biases
 * [rows, cols / group]. `tries`: ranges to try; 0 is plain min/max. */
EXPORT(quantise)
void quantise(const float *w, uint32_t rows, uint32_t cols, uint32_t stride, uint32_t group, uint32_t bits, uint32_t tries,
              uint32_t *codes, uint16_t *scales, uint16_t *biases, struct stats *stats) {
  const float levels = (float)((1 << bits) - 1);
  const uint32_t lanes = 32 / bits;
  double error = 0, norm = 0;
  for (uint32_t row = 0; row < rows; row++) {
    for (uint32_t at = 0; at < cols; at += group) {
      const float *x = w + (uint64_t)row * stride + at;
      const struct fit f = choose(x, group, bits, tries);
      v128_t squares = wasm_f32x4_const_splat(0);
      const v128_t zero = squares, most = wasm_f32x4_splat(levels), bias = wasm_f32x4_splat(f.bias);
      const v128_t inverse = wasm_f32x4_splat(f.scale > 0 ? 1 / f.scale : 0);
      for (uint32_t i = 0; i < group; i += lanes) {
        uint32_t word = 0;
        for (uint32_t j = 0; j < lanes; j += 4) {
          v128_t v = wasm_v128_load(x + i + j);
          v128_t q = wasm_f32x4_nearest(wasm_f32x4_mul(wasm_f32x4_sub(v, bias), inverse));
          q = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_pmin(wasm_f32x4_pmax(q, zero), most));
          squares = wasm_f32x4_add(squares, wasm_f32x4_mul(v, v));
          uint32_t four = wasm_u32x4_extract_lane(q, 0) | wasm_u32x4_extract_lane(q, 1) << bits |
                          wasm_u32x4_extract_lane(q, 2) << (2 * bits) | wasm_u32x4_extract_lane(q, 3) << (3 * bits);
          word |= four << (j * bits);
        }
        *codes++ = word;
      }
      uint16_t scale16 = f32_to_f16(f.scale), bias16 = f32_to_f16(f.bias);
      if ((scale16 & 0x7c00) == 0x7c00 || (bias16 & 0x7c00) == 0x7c00) stats->overflow++;
      *scales++ = scale16;
      *biases++ = bias16;
      error += f.error;
      norm += sum4(squares);
    }
  }
  stats->error += error;
  stats->norm += norm;
}
