// y[r, o] = act(sum_k x[r, k] W[o, k] + bias[o]) + residual[r, o] with x rounded to int8 by quantize_q8: for every 32
// columns xs (scale dot(code, xq) + bias sum(xq)), the dot an exact integer. xq [rows, k / 16] vec4 of 16 codes, xs
// [rows, k / 32] (scale, scale * sum); W [n, k], y [rows, n]. A workgroup makes TM x TN of y: workgroup (o / TN, r / TM).
// tile: 256 invocations of 4 x 4 outputs over blocks in workgroup memory (5 KiB), for real GPUs. block: TM x 4 outputs
// an invocation, nothing shared and no barrier, for adapters that run on a processor.
#include "shared/act.wgsl"
#include "shared/weights.wgsl"

const NONE: u32 = 0xffffffffu;

fn finish(r: u32, o: u32, sum: f32) {
  let to = p.y_offset + r * p.y_ld + o;
  var value = sum;
  if (p.bias_0 != NONE) {
    value += v[p.bias_0 + o];
  }
  value = activate(value);
  if (p.residual_mode == 1u) {
    value += residual[p.residual_offset + r * p.residual_ld + o];
  } else if (p.residual_mode == 2u) {
    value += y[to];
  }
  y[to] = value;
}

// (scale, bias) for codes as signed bytes: q8's are moved down by 128.
fn scale_bias(packed: u32) -> vec2<f32> {
  let sb = unpack2x16float(packed);
#if FORMAT == q8
  return vec2<f32>(sb.x, sb.y + 128.0 * sb.x);
#else
  return sb;
#endif
}

#if ARITH == tile
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

// Sixteen codes of the row, or of x, a vec4: first the first halves of all rows, then the second halves.
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
  let x_at = min(r0 + load_row, p.rows - 1u);
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
      x_codes[half * TM + load_row] = xq[(x_at * blocks + block) * 2u + half];
      if (half == 0u) {
        x_scales[load_row] = xs[x_at * blocks + block];
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
    for (var i = 0u; i < 2u; i++) {
      let b0 = w_codes[i * TN + mx];
      let b1 = w_codes[i * TN + mx + 16u];
      let b2 = w_codes[i * TN + mx + 32u];
      let b3 = w_codes[i * TN + mx + 48u];
      dots0 += dots(x_codes[i * TM + my], b0, b1, b2, b3);
      dots1 += dots(x_codes[i * TM + my + 16u], b0, b1, b2, b3);
      dots2 += dots(x_codes[i * TM + my + 32u], b0, b1, b2, b3);
      dots3 += dots(x_codes[i * TM + my + 48u], b0, b1, b2, b3);
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
#if FORMAT == q4
const WORD: u32 = 8u;
#else
const WORD: u32 = 4u;
#endif

fn words(at: vec4<u32>) -> vec4<u32> {
  return vec4<u32>(s[at.x], s[at.y], s[at.z], s[at.w]);
}

// Columns 4 i .. 4 i + 3 of four words, as signed bytes.
fn codes(q: vec4<u32>, i: u32) -> vec4<u32> {
#if FORMAT == q4
  let half = (q >> vec4<u32>(16u * i)) & vec4<u32>(0xffffu);
  let pairs = (half | (half << vec4<u32>(8u))) & vec4<u32>(0x00ff00ffu);
  return (pairs | (pairs << vec4<u32>(4u))) & vec4<u32>(0x0f0f0f0fu);
#else
  return q ^ vec4<u32>(0x80808080u);
#endif
}

fn dots(c: vec4<u32>, x: u32) -> vec4<i32> {
  return vec4<i32>(dot4I8Packed(c.x, x), dot4I8Packed(c.y, x), dot4I8Packed(c.z, x), dot4I8Packed(c.w, x));
}

// Four codes of row r of x, from its code 4 i on.
fn x_word(row: u32, i: u32) -> u32 {
  let at = row * (p.k / 4u) + i;
  return xq[at / 4u][at % 4u];
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
  let row = min(vec4<u32>(o, o + 1u, o + 2u, o + 3u), vec4<u32>(p.n - 1u));
  var at = p.w_0 * 4u + row * (row_blocks(p.k) * 4u);
  let scales = p.s_0 + row * row_groups(p.k);
  var sum0 = vec4<f32>(0.0);
  var sum1 = vec4<f32>(0.0);
  var sum2 = vec4<f32>(0.0);
  var sum3 = vec4<f32>(0.0);
  for (var c = 0u; c < p.k; c += 32u) {
    var dots0 = vec4<i32>(0);
    var dots1 = vec4<i32>(0);
    var dots2 = vec4<i32>(0);
    var dots3 = vec4<i32>(0);
    for (var j = c; j < c + 32u; j += WORD) {
      let q = words(at);
      at += vec4<u32>(1u);
      for (var i = j; i < j + WORD; i += 4u) {
        let four = codes(q, (i - j) / 4u);
        dots0 += dots(four, x_word(x_rows.x, i / 4u));
        dots1 += dots(four, x_word(x_rows.y, i / 4u));
        dots2 += dots(four, x_word(x_rows.z, i / 4u));
        dots3 += dots(four, x_word(x_rows.w, i / 4u));
      }
    }
    let packed = words(scales + vec4<u32>(group_of(c)));
    let c0 = scale_bias(packed.x);
    let c1 = scale_bias(packed.y);
    let c2 = scale_bias(packed.z);
    let c3 = scale_bias(packed.w);
    let scale = vec4<f32>(c0.x, c1.x, c2.x, c3.x);
    let bias = vec4<f32>(c0.y, c1.y, c2.y, c3.y);
    let x_scale = x_rows * (p.k / 32u) + vec4<u32>(c / 32u);
    let x0 = xs[x_scale.x];
    let x1 = xs[x_scale.y];
    let x2 = xs[x_scale.z];
    let x3 = xs[x_scale.w];
    sum0 += scale * (x0.x * vec4<f32>(dots0)) + bias * x0.y;
    sum1 += scale * (x1.x * vec4<f32>(dots1)) + bias * x1.y;
    sum2 += scale * (x2.x * vec4<f32>(dots2)) + bias * x2.y;
    sum3 += scale * (x3.x * vec4<f32>(dots3)) + bias * x3.y;
  }
  var sums = array<vec4<f32>, 4>(sum0, sum1, sum2, sum3);
  for (var i = r; i < min(r + TM, p.rows); i++) {
    for (var j = o; j < min(o + 4u, p.n); j++) {
      finish(i, j, sums[i - r][j - o]);
    }
  }
}
#endif
