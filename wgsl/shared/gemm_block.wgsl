// linear_gemm by invocations of 4 rows of x and 4 outputs each: a weight is unpacked once for 4 rows, a value of x is
// loaded once for 4 outputs. The includer defines finish.
#include "shared/weights.wgsl"

// Sums of the 4 outputs, for each row; where the rows of x begin.
var<private> sum0: vec4<f32>;
var<private> sum1: vec4<f32>;
var<private> sum2: vec4<f32>;
var<private> sum3: vec4<f32>;
var<private> x_rows: vec4<u32>;

// Column c of x with that column's weights of the 4 outputs.
fn column(c: u32, weights: vec4<f32>) {
  sum0 = fma(weights, vec4<f32>(x[x_rows.x + c]), sum0);
  sum1 = fma(weights, vec4<f32>(x[x_rows.y + c]), sum1);
  sum2 = fma(weights, vec4<f32>(x[x_rows.z + c]), sum2);
  sum3 = fma(weights, vec4<f32>(x[x_rows.w + c]), sum3);
}

#if FORMAT == q4
fn code(words: vec4<u32>, shift: u32) -> vec4<f32> {
  return vec4<f32>(vec4<i32>((words >> vec4<u32>(shift)) & vec4<u32>(15u)));
}

fn word(c: u32, words: vec4<u32>, scale: vec4<f32>, bias: vec4<f32>) {
  column(c, fma(code(words, 0u), scale, bias));
  column(c + 1u, fma(code(words, 4u), scale, bias));
  column(c + 2u, fma(code(words, 8u), scale, bias));
  column(c + 3u, fma(code(words, 12u), scale, bias));
  column(c + 4u, fma(code(words, 16u), scale, bias));
  column(c + 5u, fma(code(words, 20u), scale, bias));
  column(c + 6u, fma(code(words, 24u), scale, bias));
  column(c + 7u, fma(code(words, 28u), scale, bias));
}
#elif FORMAT == q8
fn code(words: vec4<u32>, shift: u32) -> vec4<f32> {
  return vec4<f32>(vec4<i32>((words >> vec4<u32>(shift)) & vec4<u32>(255u)));
}

fn word(c: u32, words: vec4<u32>, scale: vec4<f32>, bias: vec4<f32>) {
  column(c, fma(code(words, 0u), scale, bias));
  column(c + 1u, fma(code(words, 8u), scale, bias));
  column(c + 2u, fma(code(words, 16u), scale, bias));
  column(c + 3u, fma(code(words, 24u), scale, bias));
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
  x_rows = p.x_offset + min(r, vec4<u32>(p.rows - 1u)) * p.x_ld;
  let row = min(o, vec4<u32>(p.n - 1u));
  var at = p.w_0 + row * row_blocks(p.k);
#if FORMAT == q4 || FORMAT == q8
  var scales = vec4<u32>(
    scales_row(p.s_0, row.x, p.k), scales_row(p.s_0, row.y, p.k), scales_row(p.s_0, row.z, p.k),
    scales_row(p.s_0, row.w, p.k)
  );
  for (var group = 0u; group < p.k; group += p.group) {
    let s0 = unpack2x16float(s[scales.x]);
    let s1 = unpack2x16float(s[scales.y]);
    let s2 = unpack2x16float(s[scales.z]);
    let s3 = unpack2x16float(s[scales.w]);
    scales += vec4<u32>(1u);
    let scale = vec4<f32>(s0.x, s1.x, s2.x, s3.x);
    let bias = vec4<f32>(s0.y, s1.y, s2.y, s3.y);
    for (var c = group; c < group + p.group; c += KV) {
      let q0 = w[at.x];
      let q1 = w[at.y];
      let q2 = w[at.z];
      let q3 = w[at.w];
      at += vec4<u32>(1u);
      word(c, vec4<u32>(q0.x, q1.x, q2.x, q3.x), scale, bias);
      word(c + KV / 4u, vec4<u32>(q0.y, q1.y, q2.y, q3.y), scale, bias);
      word(c + KV / 2u, vec4<u32>(q0.z, q1.z, q2.z, q3.z), scale, bias);
      word(c + KV / 4u * 3u, vec4<u32>(q0.w, q1.w, q2.w, q3.w), scale, bias);
    }
  }
#else
  let whole = p.k / KV * KV;
  for (var c = 0u; c < p.k; c += KV) {
    let q0 = w[at.x];
    let q1 = w[at.y];
    let q2 = w[at.z];
    let q3 = w[at.w];
    at += vec4<u32>(1u);
#if FORMAT == f16
    if (c < whole) {
      halves(c, q0.x, q1.x, q2.x, q3.x);
      halves(c + 2u, q0.y, q1.y, q2.y, q3.y);
      halves(c + 4u, q0.z, q1.z, q2.z, q3.z);
      halves(c + 6u, q0.w, q1.w, q2.w, q3.w);
    } else {
      for (var i = 0u; c + i < p.k; i++) {
        let j = i / 2u;
        let odd = i % 2u;
        column(c + i, vec4<f32>(
          unpack2x16float(q0[j])[odd], unpack2x16float(q1[j])[odd], unpack2x16float(q2[j])[odd],
          unpack2x16float(q3[j])[odd]
        ));
      }
    }
#else
    if (c < whole) {
      column(c, bitcast<vec4<f32>>(vec4<u32>(q0.x, q1.x, q2.x, q3.x)));
      column(c + 1u, bitcast<vec4<f32>>(vec4<u32>(q0.y, q1.y, q2.y, q3.y)));
      column(c + 2u, bitcast<vec4<f32>>(vec4<u32>(q0.z, q1.z, q2.z, q3.z)));
      column(c + 3u, bitcast<vec4<f32>>(vec4<u32>(q0.w, q1.w, q2.w, q3.w)));
    } else {
      for (var i = 0u; c + i < p.k; i++) {
        column(c + i, bitcast<vec4<f32>>(vec4<u32>(q0[i], q1[i], q2[i], q3[i])));
      }
    }
#endif
  }
#endif
  var sums = array<vec4<f32>, 4>(sum0, sum1, sum2, sum3);
  // A bound that no compiler unrolls by: some take many seconds over the unrolled body.
  let outputs = min(16u, 16u * p.n);
  for (var i = 0u; i < outputs; i++) {
    finish(r.x + i / 4u, o.x + i % 4u, sums[i / 4u][i % 4u]);
  }
}

#if FORMAT == f16
fn halves(c: u32, w0: u32, w1: u32, w2: u32, w3: u32) {
  let a = unpack2x16float(w0);
  let b = unpack2x16float(w1);
  let d = unpack2x16float(w2);
  let e = unpack2x16float(w3);
  column(c, vec4<f32>(a.x, b.x, d.x, e.x));
  column(c + 1u, vec4<f32>(a.y, b.y, d.y, e.y));
}
#endif
