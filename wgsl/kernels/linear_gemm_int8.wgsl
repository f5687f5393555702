// y[r, o] = act(sum_k x[r, k] W[o, k] + bias[o]) + residual[r, o] with x rounded to int8 by quantize_q8: for every 32
// columns xs (scale dot(code, xq) + bias sum(xq)), the dot an exact integer. xq [rows, k / 16] vec4 of 16 codes, xs
// [rows, k / 32] (scale, scale * sum); W [n, k], y [rows, n]. A workgroup makes TM x TN of y: workgroup (o / TN, r / TM).
// tile: 256 invocations of 4 x 4 outputs over blocks in workgroup memory (5 KiB), for real GPUs. block: TM x 4 outputs
// an invocation, nothing shared and no barrier, for adapters that run on a processor.
#include "shared/act.wgsl"
#include "shared/weights.wgsl"

const NONE: u32 = 0xffffffffu;

fn finish(r: u32, o: u32, sum: f32) {
  if (r >= p.rows || o >= p.n) {
    return;
  }
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

#if ARITH == tile
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
  let o_scales = scales_row(p.s_0, o_at, p.k);
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
  // A bound that no compiler unrolls by: some take many seconds over the unrolled body.
  let outputs = min(16u, 16u * p.n);
  for (var i = 0u; i < outputs; i++) {
    finish(r0 + my + i / 4u * 16u, o0 + mx + i % 4u * 16u, sums[i / 4u][i % 4u]);
  }
}
#else
// Integer sums of the block at work, for each row.
var<private> dots0: vec4<i32>;
var<private> dots1: vec4<i32>;
var<private> dots2: vec4<i32>;
var<private> dots3: vec4<i32>;

// Four codes of each of the 4 outputs with those of the 4 rows.
fn word(c: vec4<u32>, x: vec4<u32>) {
  dots0 += row_word(c, x.x);
  dots1 += row_word(c, x.y);
  dots2 += row_word(c, x.z);
  dots3 += row_word(c, x.w);
}

fn row_word(c: vec4<u32>, x: u32) -> vec4<i32> {
  return vec4<i32>(dot4I8Packed(c.x, x), dot4I8Packed(c.y, x), dot4I8Packed(c.z, x), dot4I8Packed(c.w, x));
}

// Sixteen columns: q words of codes of the 4 outputs.
#if FORMAT == q4
fn sixteen(low: vec4<u32>, high: vec4<u32>, a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>) {
  word(spread4(low & vec4<u32>(0xffffu)), vec4<u32>(a.x, b.x, c.x, d.x));
  word(spread4(low >> vec4<u32>(16u)), vec4<u32>(a.y, b.y, c.y, d.y));
  word(spread4(high & vec4<u32>(0xffffu)), vec4<u32>(a.z, b.z, c.z, d.z));
  word(spread4(high >> vec4<u32>(16u)), vec4<u32>(a.w, b.w, c.w, d.w));
}

fn spread4(half: vec4<u32>) -> vec4<u32> {
  return vec4<u32>(spread(half.x), spread(half.y), spread(half.z), spread(half.w));
}
#else
fn sixteen(at: vec4<u32>, a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>) {
  let flip = vec4<u32>(0x80808080u);
  let q0 = w[at.x] ^ flip;
  let q1 = w[at.y] ^ flip;
  let q2 = w[at.z] ^ flip;
  let q3 = w[at.w] ^ flip;
  word(vec4<u32>(q0.x, q1.x, q2.x, q3.x), vec4<u32>(a.x, b.x, c.x, d.x));
  word(vec4<u32>(q0.y, q1.y, q2.y, q3.y), vec4<u32>(a.y, b.y, c.y, d.y));
  word(vec4<u32>(q0.z, q1.z, q2.z, q3.z), vec4<u32>(a.z, b.z, c.z, d.z));
  word(vec4<u32>(q0.w, q1.w, q2.w, q3.w), vec4<u32>(a.w, b.w, c.w, d.w));
}
#endif

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let o = vec4<u32>((wid.x * WG + lid) * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
  let r = vec4<u32>(wid.y * TM) + vec4<u32>(0u, 1u, 2u, 3u);
  if (o.x >= p.n) {
    return;
  }
  // Rows and outputs beyond the end repeat the last.
  let blocks = p.k / 32u;
  let x_first = min(r, vec4<u32>(p.rows - 1u)) * blocks;
  let row = min(o, vec4<u32>(p.n - 1u));
  var at = p.w_0 + row * row_blocks(p.k);
  let scales = vec4<u32>(
    scales_row(p.s_0, row.x, p.k), scales_row(p.s_0, row.y, p.k), scales_row(p.s_0, row.z, p.k),
    scales_row(p.s_0, row.w, p.k)
  );
  var sum0 = vec4<f32>(0.0);
  var sum1 = vec4<f32>(0.0);
  var sum2 = vec4<f32>(0.0);
  var sum3 = vec4<f32>(0.0);
  for (var block = 0u; block < blocks; block++) {
    dots0 = vec4<i32>(0);
    dots1 = vec4<i32>(0);
    dots2 = vec4<i32>(0);
    dots3 = vec4<i32>(0);
    let x_at = x_first + vec4<u32>(block);
#if FORMAT == q4
    let q0 = w[at.x];
    let q1 = w[at.y];
    let q2 = w[at.z];
    let q3 = w[at.w];
    at += vec4<u32>(1u);
    sixteen(
      vec4<u32>(q0.x, q1.x, q2.x, q3.x), vec4<u32>(q0.y, q1.y, q2.y, q3.y), xq[2u * x_at.x], xq[2u * x_at.y],
      xq[2u * x_at.z], xq[2u * x_at.w]
    );
    sixteen(
      vec4<u32>(q0.z, q1.z, q2.z, q3.z), vec4<u32>(q0.w, q1.w, q2.w, q3.w), xq[2u * x_at.x + 1u],
      xq[2u * x_at.y + 1u], xq[2u * x_at.z + 1u], xq[2u * x_at.w + 1u]
    );
#else
    sixteen(at, xq[2u * x_at.x], xq[2u * x_at.y], xq[2u * x_at.z], xq[2u * x_at.w]);
    at += vec4<u32>(1u);
    sixteen(at, xq[2u * x_at.x + 1u], xq[2u * x_at.y + 1u], xq[2u * x_at.z + 1u], xq[2u * x_at.w + 1u]);
    at += vec4<u32>(1u);
#endif
    let group = group_of(block * 32u);
    let c0 = scale_bias(s[scales.x + group]);
    let c1 = scale_bias(s[scales.y + group]);
    let c2 = scale_bias(s[scales.z + group]);
    let c3 = scale_bias(s[scales.w + group]);
    let scale = vec4<f32>(c0.x, c1.x, c2.x, c3.x);
    let bias = vec4<f32>(c0.y, c1.y, c2.y, c3.y);
    let x0 = xs[x_at.x];
    let x1 = xs[x_at.y];
    let x2 = xs[x_at.z];
    let x3 = xs[x_at.w];
    sum0 += scale * (x0.x * vec4<f32>(dots0)) + bias * x0.y;
    sum1 += scale * (x1.x * vec4<f32>(dots1)) + bias * x1.y;
    sum2 += scale * (x2.x * vec4<f32>(dots2)) + bias * x2.y;
    sum3 += scale * (x3.x * vec4<f32>(dots3)) + bias * x3.y;
  }
  var sums = array<vec4<f32>, 4>(sum0, sum1, sum2, sum3);
  // A bound that no compiler unrolls by: some take many seconds over the unrolled body.
  let outputs = min(16u, 16u * p.n);
  for (var i = 0u; i < outputs; i++) {
    finish(r.x + i / 4u, o.x + i % 4u, sums[i / 4u][i % 4u]);
  }
}
#endif
