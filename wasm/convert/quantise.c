/* Affine quantisation in MLX's layout: w = scale * code + bias for each group of a row, scale and bias in f16.
 *
 * Plain min/max spends the codes on the outliers of a group. Here several smaller ranges are tried, cut off above and below;
 * scale and bias are fitted to the codes of each by least squares, rounded to f16, the codes chosen anew for what is really
 * stored, and the squared error counted. The smallest wins; min/max is among them, so it is never worse.
 *
 * Four groups go at once, one in each lane: sums need no folding, and the fits are as parallel as the codes. */
#include "convert.h"

#define MAX_GROUP 128

/* Ranges to try, relative to max - min: their size, and the share of what is cut off that is cut off below; the likeliest
 * first. Eight bits gain little: the steps are small, and outliers cost few of them. */
struct range {
  float size, below;
};
static const struct range ranges4[] = {{0.96f, 0.2f}, {0.96f, 0.8f}, {0.92f, 0.5f}, {0.86f, 0.5f}, {0.91f, 0.0f}, {0.91f, 1.0f}};
static const struct range ranges8[] = {{1.0f, 0.0f}, {0.99f, 0.5f}};

/* Scales, biases and what their codes give, one group a lane. */
struct fit {
  v128_t scale, bias, error; /* scale and bias are values of f16 */
  v128_t next_scale, mean_code; /* the least-squares scale of these codes, and their mean less `middle` */
};

struct groups {
  const v128_t *x; /* [n], transposed */
  uint32_t n;
  v128_t levels, middle; /* largest code, and half of it: codes are summed from there, which cancels less */
  v128_t mean; /* of x */
};

#define MUL wasm_f32x4_mul
#define ADD wasm_f32x4_add
#define SUB wasm_f32x4_sub
#define SPLAT wasm_f32x4_splat

/* To the nearest value of f16, while it is one: 11 bits by Veltkamp's splitting, and below 2^-14 multiples of 2^-24. */
INLINE v128_t round_f16(v128_t x) {
  v128_t c = MUL(x, SPLAT(0x2001p0f)), normal = SUB(c, SUB(c, x));
  v128_t magic = SPLAT(0.75f), tiny = SUB(ADD(x, magic), magic);
  return wasm_v128_bitselect(tiny, normal, wasm_f32x4_lt(wasm_f32x4_abs(x), SPLAT(0x1p-14f)));
}

INLINE v128_t reciprocal(v128_t scale) {
  v128_t positive = wasm_f32x4_gt(scale, SPLAT(0));
  return wasm_v128_and(wasm_f32x4_div(SPLAT(1), scale), positive);
}

INLINE v128_t code_of(v128_t v, v128_t inverse, v128_t bias, v128_t levels) {
  v128_t q = wasm_f32x4_nearest(MUL(SUB(v, bias), inverse));
  return wasm_f32x4_pmin(wasm_f32x4_pmax(q, SPLAT(0)), levels);
}

/* What `measure` is asked for. */
enum { ERROR = 1, SUMS = 2 };

/* The codes of (scale, bias): their error, and what the next least-squares fit needs. */
INLINE void measure(const struct groups *g, struct fit *f, const int what) {
  const v128_t scale = f->scale, bias = f->bias, inverse = reciprocal(scale), levels = g->levels, middle = g->middle;
  const v128_t mean = g->mean;
  v128_t error = SPLAT(0), q1 = error, q2 = error, qx = error;
  for (uint32_t i = 0; i < g->n; i++) {
    v128_t v = g->x[i], q = code_of(v, inverse, bias, levels);
    if (what & ERROR) {
      v128_t d = SUB(ADD(MUL(scale, q), bias), v);
      error = ADD(error, MUL(d, d));
    }
    if (what & SUMS) {
      q = SUB(q, middle);
      q1 = ADD(q1, q);
      q2 = ADD(q2, MUL(q, q));
      qx = ADD(qx, MUL(q, SUB(v, mean)));
    }
  }
  f->error = error;
  if (!(what & SUMS)) return;
  const v128_t count = SPLAT((float)g->n), spread = SUB(MUL(count, q2), MUL(q1, q1));
  f->mean_code = wasm_f32x4_div(q1, count);
  /* sum of q * (x - mean) is what the covariance needs, as (x - mean) sums to nothing */
  f->next_scale = wasm_v128_and(wasm_f32x4_div(MUL(count, qx), spread), wasm_f32x4_gt(spread, SPLAT(0)));
}

INLINE struct fit better(struct fit a, struct fit b) {
  v128_t second = wasm_f32x4_lt(b.error, a.error);
  struct fit f;
#define PICK(field) f.field = wasm_v128_bitselect(b.field, a.field, second)
  PICK(scale);
  PICK(bias);
  PICK(error);
  PICK(next_scale);
  PICK(mean_code);
#undef PICK
  return f;
}

/* The least-squares fit of the codes of f; the bias is fitted to the scale as it is stored. */
INLINE struct fit refit(const struct groups *g, struct fit f, const int what) {
  f.scale = round_f16(f.next_scale);
  f.bias = round_f16(SUB(g->mean, MUL(f.scale, ADD(f.mean_code, g->middle))));
  measure(g, &f, what);
  return f;
}

/* The scales and biases of four groups. */
static struct fit choose(struct groups *g, uint32_t bits, uint32_t tries) {
  v128_t low = g->x[0], high = low, sum = SPLAT(0);
  for (uint32_t i = 0; i < g->n; i++) {
    low = wasm_f32x4_pmin(low, g->x[i]);
    high = wasm_f32x4_pmax(high, g->x[i]);
    sum = ADD(sum, g->x[i]);
  }
  g->mean = wasm_f32x4_div(sum, SPLAT((float)g->n));
  const v128_t range = SUB(high, low);
  const v128_t step = wasm_f32x4_div(range, g->levels);

  struct fit best = {.scale = round_f16(step), .bias = round_f16(low)};
  /* f16 has no step so small: the next larger one covers the range, the nearest may not. */
  v128_t short_by = wasm_v128_and(SPLAT(0x1p-24f), wasm_f32x4_lt(best.scale, step));
  v128_t coarse = wasm_f32x4_lt(step, SPLAT(0x1p-14f));
  best.scale = ADD(best.scale, wasm_v128_and(short_by, coarse));
  measure(g, &best, ERROR | SUMS);

  const struct range *ranges = bits == 4 ? ranges4 : ranges8;
  const uint32_t all = (bits == 4 ? sizeof ranges4 : sizeof ranges8) / sizeof *ranges;
  for (uint32_t t = 0; t < tries && t < all; t++) {
    struct fit f = best;
    if (ranges[t].size != 1) {
      f.scale = MUL(step, SPLAT(ranges[t].size));
      f.bias = ADD(low, MUL(range, SPLAT((1 - ranges[t].size) * ranges[t].below)));
      measure(g, &f, SUMS);
    }
    best = better(best, refit(g, f, ERROR | SUMS));
  }
  return tries == 0 ? best : better(best, refit(g, best, ERROR));
}

/* Four groups of n values, lane by lane, from rows of floats. */
INLINE void transpose(const float *const from[4], v128_t *to, uint32_t n) {
  for (uint32_t i = 0; i < n; i += 4) {
    v128_t a = load(from[0] + i), b = load(from[1] + i);
    v128_t c = load(from[2] + i), d = load(from[3] + i);
    v128_t ab = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), cd = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5);
    v128_t ef = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7), gh = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
    to[i] = wasm_i32x4_shuffle(ab, cd, 0, 1, 4, 5);
    to[i + 1] = wasm_i32x4_shuffle(ab, cd, 2, 3, 6, 7);
    to[i + 2] = wasm_i32x4_shuffle(ef, gh, 0, 1, 4, 5);
    to[i + 3] = wasm_i32x4_shuffle(ef, gh, 2, 3, 6, 7);
  }
}

/* Scale and bias of the first `some` lanes, in f16, to places `apart`, from `first` on. */
INLINE void store_fit(const struct fit *f, uint32_t some, uint32_t apart, uint64_t first, uint16_t *scales,
                      uint16_t *biases, struct stats *stats) {
  float found[2][4];
  store(found[0], f->scale);
  store(found[1], f->bias);
  for (uint32_t i = 0; i < some; i++) {
    uint16_t scale = f32_to_f16(found[0][i]), bias = f32_to_f16(found[1][i]);
    if ((scale & 0x7c00) == 0x7c00 || (bias & 0x7c00) == 0x7c00) stats->overflow++;
    scales[first + (uint64_t)i * apart] = scale;
    biases[first + (uint64_t)i * apart] = bias;
  }
}

/* Rows of `cols` floats, `stride` apart, to codes [rows, cols * bits / 32] (u32, lowest bits first), scales and biases
 * [rows, cols / group]. `tries`: ranges to try; 0 is plain min/max. */
EXPORT(quantise)
void quantise(const float *w, uint32_t rows, uint32_t cols, uint32_t stride, uint32_t group, uint32_t bits, uint32_t tries,
              uint32_t *codes, uint16_t *scales, uint16_t *biases, struct stats *stats) {
  static v128_t lanes[MAX_GROUP];
  const uint32_t a_row = cols / group, total = rows * a_row, a_word = 32 / bits, words = group / a_word;
  const float top = (float)((1 << bits) - 1);
  double error = 0, norm = 0;
  for (uint32_t first = 0; first < total; first += 4) {
    const float *from[4];
    for (uint32_t i = 0; i < 4; i++) {
      /* The last lanes may repeat the last group. */
      uint32_t at = first + i < total ? first + i : total - 1;
      from[i] = w + (uint64_t)(at / a_row) * stride + (uint64_t)(at % a_row) * group;
    }
    transpose(from, lanes, group);
    struct groups g = {lanes, group, SPLAT(top), SPLAT(0.5f * top), SPLAT(0)};
    const struct fit f = choose(&g, bits, tries);

    const v128_t inverse = reciprocal(f.scale);
    v128_t squares = SPLAT(0);
    for (uint32_t i = 0, at = 0; at < words; at++) {
      v128_t word = wasm_i32x4_const_splat(0);
      for (uint32_t j = 0; j < a_word; j++, i++) {
        squares = ADD(squares, MUL(lanes[i], lanes[i]));
        v128_t q = wasm_i32x4_trunc_sat_f32x4(code_of(lanes[i], inverse, f.bias, g.levels));
        word = wasm_v128_or(word, wasm_i32x4_shl(q, j * bits));
      }
      uint32_t *to = codes + (uint64_t)first * words + at;
      to[0] = wasm_u32x4_extract_lane(word, 0);
      if (first + 1 < total) to[words] = wasm_u32x4_extract_lane(word, 1);
      if (first + 2 < total) to[2 * words] = wasm_u32x4_extract_lane(word, 2);
      if (first + 3 < total) to[3 * words] = wasm_u32x4_extract_lane(word, 3);
    }
    const uint32_t some = total - first < 4 ? total - first : 4;
    store_fit(&f, some, 1, first, scales, biases, stats);
    float found[2][4];
    store(found[0], f.error);
    store(found[1], squares);
    for (uint32_t i = 0; i < some; i++) {
      error += found[0][i];
      norm += found[1][i];
    }
  }
  stats->error += error;
  stats->norm += norm;
}

/* The columns whose errors are made up for together; a multiple of every group. */
#define BLOCK 128

/* As `quantise`, but for what the products give and not for the weights themselves: what a column's rounding does to the
 * outputs is made up for in the columns of its block that are not rounded yet (the method is GPTQ's). `factors`: for each
 * block the upper triangle U of the Cholesky decomposition U^T U of the inverse of its inputs' second moments, each row
 * over its diagonal, [n, n] with n = 128 or, of the last block, what is left. Blocks are 128 * 128 floats apart. */
EXPORT(quantise_calibrated)
void quantise_calibrated(const float *w, uint32_t rows, uint32_t cols, uint32_t stride, uint32_t group, uint32_t bits,
                         uint32_t tries, const float *factors, uint32_t *codes, uint16_t *scales, uint16_t *biases,
                         struct stats *stats) {
  static v128_t lanes[BLOCK], wanted[BLOCK];
  const uint32_t a_row = cols / group, a_word = 32 / bits, words = cols / a_word;
  const float top = (float)((1 << bits) - 1);
  double error = 0, norm = 0;
  for (uint32_t row = 0; row < rows; row += 4) {
    const uint32_t some = rows - row < 4 ? rows - row : 4;
    v128_t errors = SPLAT(0), squares = errors;
    for (uint32_t start = 0; start < cols; start += BLOCK) {
      const uint32_t n = cols - start < BLOCK ? cols - start : BLOCK;
      const float *factor = factors + (uint64_t)start * BLOCK, *from[4];
      /* The last lanes may repeat the last row. */
      for (uint32_t i = 0; i < 4; i++) from[i] = w + (uint64_t)(row + (i < some ? i : some - 1)) * stride + start;
      transpose(from, lanes, n);
      for (uint32_t i = 0; i < n; i++) wanted[i] = lanes[i];
      for (uint32_t at = 0; at < n; at += group) {
        struct groups g = {lanes + at, group, SPLAT(top), SPLAT(0.5f * top), SPLAT(0)};
        const struct fit f = choose(&g, bits, tries);
        const v128_t inverse = reciprocal(f.scale);
        v128_t word = wasm_i32x4_const_splat(0);
        for (uint32_t i = at; i < at + group; i++) {
          const v128_t code = code_of(lanes[i], inverse, f.bias, g.levels), stored = ADD(MUL(f.scale, code), f.bias);
          const v128_t rest = SUB(lanes[i], stored), off = SUB(stored, wanted[i]);
          const float *row_of = factor + i * n;
          for (uint32_t j = i + 1; j < n; j++) lanes[j] = SUB(lanes[j], MUL(rest, splat_f32(row_of + j)));
          errors = ADD(errors, MUL(off, off));
          squares = ADD(squares, MUL(wanted[i], wanted[i]));
          word = wasm_v128_or(word, wasm_i32x4_shl(wasm_i32x4_trunc_sat_f32x4(code), i % a_word * bits));
          if (i % a_word + 1 < a_word) continue;
          uint32_t *to = codes + (uint64_t)row * words + (start + i) / a_word;
          to[0] = wasm_u32x4_extract_lane(word, 0);
          if (some > 1) to[words] = wasm_u32x4_extract_lane(word, 1);
          if (some > 2) to[2 * words] = wasm_u32x4_extract_lane(word, 2);
          if (some > 3) to[3 * words] = wasm_u32x4_extract_lane(word, 3);
          word = wasm_i32x4_const_splat(0);
        }
        store_fit(&f, some, a_row, (uint64_t)row * a_row + (start + at) / group, scales, biases, stats);
      }
    }
    float found[2][4];
    store(found[0], errors);
    store(found[1], squares);
    for (uint32_t i = 0; i < some; i++) {
      error += found[0][i];
      norm += found[1][i];
    }
  }
  stats->error += error;
  stats->norm += norm;
}
