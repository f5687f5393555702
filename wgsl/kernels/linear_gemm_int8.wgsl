// y[r, o] = act(sum_k x[r, k] W[o, k] + bias[o]) + residual[r, o] with x rounded to int8 by quantize_q8: for every 32
// columns xs (scale dot(code, xq) + bias sum(xq)), the dot an exact integer. xq [rows, k / 16] vec4 of 16 codes, xs
// [rows, k / 32] (scale, scale * sum); W [n, k], y [rows, n]. A workgroup makes TM x TN of y: workgroup (o / TN, r / TM).
// tile: 256 invocations of 4 x 4 outputs over blocks in workgroup memory (5 KiB), for real GPUs. block: TM x 8 outputs an
// invocation, nothing shared and no barrier, for adapters that run on a processor; these multiply faster in f32.
#include "shared/gemm_finish.wgsl"
#if ARITH == block
#include "shared/eight.wgsl"
#else
#include "shared/weights.wgsl"
#endif

#if ARITH == tile
// (scale, bias) for codes as signed bytes: q8's are moved down by 128.
fn scale_bias(packed: u32) -> vec2<f32> {
  let sb = unpack2x16float(packed);
#if FORMAT == q8
  return vec2<f32>(sb.x, sb.y + 128.0 * sb.x);
#else
  return sb;
#endif
}

#if FORMAT == q4
// Four nibbles of the low half of a word as bytes.
fn spread(half: u32) -> u32 {
  let pairs = (half | (half << 8u)) & 0x00ff00ffu;
  return (pairs | (pairs << 4u)) & 0x0f0f0f0fu;
}
#endif

fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return (dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y)) + (dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w));
}

// Sixteen codes of the row, or of x, a vec4: first the first halves of all rows, then the second halves; TM is TN.
var<workgroup> x_codes: array<vec4<u32>, 2u * TM>;
var<workgroup> w_codes: array<vec4<u32>, 2u * TN>;
var<workgroup> x_scales: array<vec2<f32>, TM>;
var<workgroup> w_scales: array<vec2<f32>, TN>;

// Codes of 16 columns of row o from 16 * part on, as signed bytes.
fn w_part(o: u32, part: u32) -> vec4<u32> {
  let first = p.w_0 + o * row_blocks(p.k);
#if FORMAT == q4
  let block = w[first + part / 2u];
  let words = select(block.xy, block.zw, vec2<bool>(part % 2u != 0u));
  return vec4<u32>(
    spread(words.x & 0xffffu), spread(words.x >> 16u), spread(words.y & 0xffffu), spread(words.y >> 16u)
  );
#else
  return w[first + part] ^ vec4<u32>(0x80808080u);
#endif
}

fn dots(a: vec4<u32>, b0: vec4<u32>, b1: vec4<u32>, b2: vec4<u32>, b3: vec4<u32>) -> vec4<i32> {
  return vec4<i32>(dot16(a, b0), dot16(a, b1), dot16(a, b2), dot16(a, b3));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let r0 = wid.y * TM;
  let o0 = wid.x * TN;
  let blocks = p.k / 32u;
  // What this invocation loads: the first half of them 16 codes of x, the others of W.
  let load_row = lid % 128u / 2u;
  let half = lid % 2u;
  let x_row = min(r0 + load_row, p.rows - 1u);
  let o_at = min(o0 + load_row, p.n - 1u);
  let o_scales = p.s_0 + o_at * row_groups(p.k);
  // What it multiplies: rows my .., outputs mx .., 16 apart.
  let mx = lid % 16u;
  let my = lid / 16u;
  var sum0 = vec4<f32>(0.0);
  var sum1 = vec4<f32>(0.0);
  var sum2 = vec4<f32>(0.0);
  var sum3 = vec4<f32>(0.0);
  for (var block = 0u; block < blocks; block++) {
    workgroupBarrier();
    if (lid < 128u) {
      x_codes[half * TM + load_row] = xq[(x_row * blocks + block) * 2u + half];
      if (half == 0u) {
        x_scales[load_row] = xs[x_row * blocks + block];
      }
    } else {
      w_codes[half * TN + load_row] = w_part(o_at, block * 2u + half);
      if (half == 0u) {
        w_scales[load_row] = scale_bias(s[o_scales + group_of(block * 32u)]);
      }
    }
    workgroupBarrier();
    var dots0 = vec4<i32>(0);
    var dots1 = vec4<i32>(0);
    var dots2 = vec4<i32>(0);
    var dots3 = vec4<i32>(0);
    // Over both halves, by a bound that no compiler unrolls: the body is long to compile.
    for (var at = mx; at < mx + 2u * TN; at += TN) {
      let b0 = w_codes[at];
      let b1 = w_codes[at + 16u];
      let b2 = w_codes[at + 32u];
      let b3 = w_codes[at + 48u];
      let x_at = at - mx + my;
      dots0 += dots(x_codes[x_at], b0, b1, b2, b3);
      dots1 += dots(x_codes[x_at + 16u], b0, b1, b2, b3);
      dots2 += dots(x_codes[x_at + 32u], b0, b1, b2, b3);
      dots3 += dots(x_codes[x_at + 48u], b0, b1, b2, b3);
    }
    let c0 = w_scales[mx];
    let c1 = w_scales[mx + 16u];
    let c2 = w_scales[mx + 32u];
    let c3 = w_scales[mx + 48u];
    let scale = vec4<f32>(c0.x, c1.x, c2.x, c3.x);
    let bias = vec4<f32>(c0.y, c1.y, c2.y, c3.y);
    let x0 = x_scales[my];
    let x1 = x_scales[my + 16u];
    let x2 = x_scales[my + 32u];
    let x3 = x_scales[my + 48u];
    sum0 += scale * (x0.x * vec4<f32>(dots0)) + bias * x0.y;
    sum1 += scale * (x1.x * vec4<f32>(dots1)) + bias * x1.y;
    sum2 += scale * (x2.x * vec4<f32>(dots2)) + bias * x2.y;
    sum3 += scale * (x3.x * vec4<f32>(dots3)) + bias * x3.y;
  }
  var sums = array<vec4<f32>, 4>(sum0, sum1, sum2, sum3);
  for (var r = r0 + my; r < min(r0 + TM, p.rows); r += 16u) {
    for (var o = o0 + mx; o < min(o0 + TN, p.n); o += 16u) {
      finish(r, o, sums[(r - r0) / 16u][(o - o0) / 16u]);
    }
  }
}
#else
// Codes of 4 rows of x with those of 8 outputs, multiplied as f32: whole numbers below 2^24 even when 32 are summed.
var<private> dots0a: vec4<f32>;
var<private> dots0b: vec4<f32>;
var<private> dots1a: vec4<f32>;
var<private> dots1b: vec4<f32>;
var<private> dots2a: vec4<f32>;
var<private> dots2b: vec4<f32>;
var<private> dots3a: vec4<f32>;
var<private> dots3b: vec4<f32>;

// Column i of the words of W; the code `up` bits below the top of the words of x.
fn column(qa: vec4<u32>, qb: vec4<u32>, i: u32, x: vec4<u32>, up: u32) {
  let value = vec4<f32>(vec4<i32>(x << vec4<u32>(up)) >> vec4<u32>(24u));
  let a = values(qa, i);
  let b = values(qb, i);
  dots0a = fma(a, vec4<f32>(value.x), dots0a);
  dots0b = fma(b, vec4<f32>(value.x), dots0b);
  dots1a = fma(a, vec4<f32>(value.y), dots1a);
  dots1b = fma(b, vec4<f32>(value.y), dots1b);
  dots2a = fma(a, vec4<f32>(value.z), dots2a);
  dots2b = fma(b, vec4<f32>(value.z), dots2b);
  dots3a = fma(a, vec4<f32>(value.w), dots3a);
  dots3b = fma(b, vec4<f32>(value.w), dots3b);
}

// Four codes of each row of x, from code 4 i of row 0 on.
fn x_words(rows: vec4<u32>, i: u32) -> vec4<u32> {
  let at = rows * (p.k / 4u) + vec4<u32>(i);
  return vec4<u32>(
    xq[at.x / 4u][at.x % 4u], xq[at.y / 4u][at.y % 4u], xq[at.z / 4u][at.z % 4u], xq[at.w / 4u][at.w % 4u]
  );
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let o = (wid.x * WG + lid) * (TN / WG);
  let r = wid.y * TM;
  if (o >= p.n) {
    return;
  }
  // Rows and outputs beyond the end repeat the last.
  let x_rows = min(vec4<u32>(r, r + 1u, r + 2u, r + 3u), vec4<u32>(p.rows - 1u));
  let last = vec4<u32>(p.n - 1u);
  let row_a = min(vec4<u32>(o, o + 1u, o + 2u, o + 3u), last);
  let row_b = min(vec4<u32>(o + 4u, o + 5u, o + 6u, o + 7u), last);
  let row_words = row_blocks(p.k) * 4u;
  let groups = row_groups(p.k);
  var at = Eight(
    p.w_0 * 4u + row_a * row_words, p.w_0 * 4u + row_b * row_words, p.s_0 + row_a * groups, p.s_0 + row_b * groups
  );
  var sum0a = vec4<f32>(0.0);
  var sum0b = vec4<f32>(0.0);
  var sum1a = vec4<f32>(0.0);
  var sum1b = vec4<f32>(0.0);
  var sum2a = vec4<f32>(0.0);
  var sum2b = vec4<f32>(0.0);
  var sum3a = vec4<f32>(0.0);
  var sum3b = vec4<f32>(0.0);
  for (var c = 0u; c < p.k; c += 32u) {
    dots0a = vec4<f32>(0.0);
    dots0b = vec4<f32>(0.0);
    dots1a = vec4<f32>(0.0);
    dots1b = vec4<f32>(0.0);
    dots2a = vec4<f32>(0.0);
    dots2b = vec4<f32>(0.0);
    dots3a = vec4<f32>(0.0);
    dots3b = vec4<f32>(0.0);
    for (var j = c; j < c + 32u; j += WORD) {
      let qa = words(at.a);
      let qb = words(at.b);
      at.a += vec4<u32>(1u);
      at.b += vec4<u32>(1u);
      for (var i = j; i < j + WORD; i += 4u) {
        let x = x_words(x_rows, i / 4u);
        column(qa, qb, i - j, x, 24u);
        column(qa, qb, i - j + 1u, x, 16u);
        column(qa, qb, i - j + 2u, x, 8u);
        column(qa, qb, i - j + 3u, x, 0u);
      }
    }
    let group = vec4<u32>(group_of(c));
    let sa = words(at.scale_a + group);
    let sb = words(at.scale_b + group);
    let scale_a = scales(sa);
    let scale_b = scales(sb);
    let bias_a = biases(sa);
    let bias_b = biases(sb);
    let x_scale = x_rows * (p.k / 32u) + vec4<u32>(c / 32u);
    let x0 = xs[x_scale.x];
    let x1 = xs[x_scale.y];
    let x2 = xs[x_scale.z];
    let x3 = xs[x_scale.w];
    sum0a += scale_a * (x0.x * dots0a) + bias_a * x0.y;
    sum0b += scale_b * (x0.x * dots0b) + bias_b * x0.y;
    sum1a += scale_a * (x1.x * dots1a) + bias_a * x1.y;
    sum1b += scale_b * (x1.x * dots1b) + bias_b * x1.y;
    sum2a += scale_a * (x2.x * dots2a) + bias_a * x2.y;
    sum2b += scale_b * (x2.x * dots2b) + bias_b * x2.y;
    sum3a += scale_a * (x3.x * dots3a) + bias_a * x3.y;
    sum3b += scale_b * (x3.x * dots3b) + bias_b * x3.y;
  }
  var sums = array<vec4<f32>, 8>(sum0a, sum0b, sum1a, sum1b, sum2a, sum2b, sum3a, sum3b);
  for (var i = r; i < min(r + TM, p.rows); i++) {
    for (var j = o; j < min(o + 8u, p.n); j++) {
      finish(i, j, sums[(i - r) * 2u + (j - o) / 4u][(j - o) % 4u]);
    }
  }
}
#endif
