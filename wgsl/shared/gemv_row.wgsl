// Sums of one row of x with four matrix rows, by one invocation and without a barrier: for adapters that run
// invocations as lanes of a processor, where a barrier costs more than a row. The four share each load of x.
// The includer defines load4(c) and load1(c): the columns c .. c + 3, or c, of x.
#include "shared/weights.wgsl"

// Where the blocks and the scales of four matrix rows begin.
struct Rows {
  w: vec4<u32>,
  s: vec4<u32>,
}

#if FORMAT == q4
// Codes stay at their place in the word; x is scaled by what that place is worth, once for four outputs.
fn word_dots(c: vec4<u32>, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  let low = a * vec4<f32>(1.0, 0.0625, 0.00390625, 0.000244140625);
  let high = b * vec4<f32>(1.52587890625e-5, 9.5367431640625e-7, 5.9604644775390625e-8, 1.0);
  var sum = vec4<f32>(vec4<i32>(c & vec4<u32>(0xfu))) * low.x;
  sum += vec4<f32>(vec4<i32>(c & vec4<u32>(0xf0u))) * low.y;
  sum += vec4<f32>(vec4<i32>(c & vec4<u32>(0xf00u))) * low.z;
  sum += vec4<f32>(vec4<i32>(c & vec4<u32>(0xf000u))) * low.w;
  sum += vec4<f32>(vec4<i32>(c & vec4<u32>(0xf0000u))) * high.x;
  sum += vec4<f32>(vec4<i32>(c & vec4<u32>(0xf00000u))) * high.y;
  sum += vec4<f32>(vec4<i32>(c & vec4<u32>(0xf000000u))) * high.z;
  return sum + vec4<f32>(vec4<i32>(c >> vec4<u32>(28u))) * high.w;
}
#elif FORMAT == q8
fn word_dots(c: vec4<u32>, a: vec4<f32>) -> vec4<f32> {
  let low = a * vec4<f32>(1.0, 0.00390625, 1.52587890625e-5, 1.0);
  var sum = vec4<f32>(vec4<i32>(c & vec4<u32>(0xffu))) * low.x;
  sum += vec4<f32>(vec4<i32>(c & vec4<u32>(0xff00u))) * low.y;
  sum += vec4<f32>(vec4<i32>(c & vec4<u32>(0xff0000u))) * low.z;
  return sum + vec4<f32>(vec4<i32>(c >> vec4<u32>(24u))) * low.w;
}
#elif FORMAT == f16
fn word_dots(c: vec4<u32>, a: f32, b: f32) -> vec4<f32> {
  let c0 = unpack2x16float(c.x);
  let c1 = unpack2x16float(c.y);
  let c2 = unpack2x16float(c.z);
  let c3 = unpack2x16float(c.w);
  return vec4<f32>(c0.x, c1.x, c2.x, c3.x) * a + vec4<f32>(c0.y, c1.y, c2.y, c3.y) * b;
}
#endif

fn sum4(a: vec4<f32>) -> f32 {
  return (a.x + a.y) + (a.z + a.w);
}

#if FORMAT == q4 || FORMAT == q8
// x[begin, end) with the four rows; both are multiples of the group.
fn row_dots(rows: Rows, begin: u32, end: u32) -> vec4<f32> {
  var total = vec4<f32>(0.0);
  var block = begin / KV;
  let group_blocks = p.group / KV;
  var group = group_of(begin);
  var at = begin;
  while (at < end) {
    var sum = vec4<f32>(0.0);
    var x_sum = 0.0;
    for (var i = 0u; i < group_blocks; i++) {
      let q0 = w[rows.w.x + block];
      let q1 = w[rows.w.y + block];
      let q2 = w[rows.w.z + block];
      let q3 = w[rows.w.w + block];
      block++;
#if FORMAT == q4
      var a = load4(at);
      var b = load4(at + 4u);
      var xs = a + b;
      sum += word_dots(vec4<u32>(q0.x, q1.x, q2.x, q3.x), a, b);
      a = load4(at + 8u);
      b = load4(at + 12u);
      xs += a + b;
      sum += word_dots(vec4<u32>(q0.y, q1.y, q2.y, q3.y), a, b);
      a = load4(at + 16u);
      b = load4(at + 20u);
      xs += a + b;
      sum += word_dots(vec4<u32>(q0.z, q1.z, q2.z, q3.z), a, b);
      a = load4(at + 24u);
      b = load4(at + 28u);
      xs += a + b;
      sum += word_dots(vec4<u32>(q0.w, q1.w, q2.w, q3.w), a, b);
#else
      let a = load4(at);
      let b = load4(at + 4u);
      let c = load4(at + 8u);
      let d = load4(at + 12u);
      let xs = (a + b) + (c + d);
      sum += word_dots(vec4<u32>(q0.x, q1.x, q2.x, q3.x), a);
      sum += word_dots(vec4<u32>(q0.y, q1.y, q2.y, q3.y), b);
      sum += word_dots(vec4<u32>(q0.z, q1.z, q2.z, q3.z), c);
      sum += word_dots(vec4<u32>(q0.w, q1.w, q2.w, q3.w), d);
#endif
      x_sum += sum4(xs);
      at += KV;
    }
    let s0 = unpack2x16float(s[rows.s.x + group]);
    let s1 = unpack2x16float(s[rows.s.y + group]);
    let s2 = unpack2x16float(s[rows.s.z + group]);
    let s3 = unpack2x16float(s[rows.s.w + group]);
    group++;
    total += vec4<f32>(s0.x, s1.x, s2.x, s3.x) * sum + vec4<f32>(s0.y, s1.y, s2.y, s3.y) * x_sum;
  }
  return total;
}
#else
// x[begin, end) with the four rows; begin is a multiple of 8. Columns from `end` on count as zero, whatever x has there.
fn row_dots(rows: Rows, begin: u32, end: u32) -> vec4<f32> {
  var total = vec4<f32>(0.0);
  var block = begin / KV;
  var at = begin;
  while (at < end) {
    let q0 = w[rows.w.x + block];
    let q1 = w[rows.w.y + block];
    let q2 = w[rows.w.z + block];
    let q3 = w[rows.w.w + block];
    block++;
    let a = columns(at, end);
#if FORMAT == f16
    let b = columns(at + 4u, end);
    total += word_dots(vec4<u32>(q0.x, q1.x, q2.x, q3.x), a.x, a.y);
    total += word_dots(vec4<u32>(q0.y, q1.y, q2.y, q3.y), a.z, a.w);
    total += word_dots(vec4<u32>(q0.z, q1.z, q2.z, q3.z), b.x, b.y);
    total += word_dots(vec4<u32>(q0.w, q1.w, q2.w, q3.w), b.z, b.w);
#else
    var sum = bitcast<vec4<f32>>(vec4<u32>(q0.x, q1.x, q2.x, q3.x)) * a.x;
    sum += bitcast<vec4<f32>>(vec4<u32>(q0.y, q1.y, q2.y, q3.y)) * a.y;
    sum += bitcast<vec4<f32>>(vec4<u32>(q0.z, q1.z, q2.z, q3.z)) * a.z;
    total += sum + bitcast<vec4<f32>>(vec4<u32>(q0.w, q1.w, q2.w, q3.w)) * a.w;
#endif
    at += KV;
  }
  return total;
}

fn columns(c: u32, end: u32) -> vec4<f32> {
  if (c + 4u <= end) {
    return load4(c);
  }
  var v = vec4<f32>(0.0);
  for (var i = 0u; c + i < end; i++) {
    v[i] = load1(c + i);
  }
  return v;
}
#endif
