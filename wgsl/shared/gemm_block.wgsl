// linear_gemm by invocations of TM rows of x (4) and 8 outputs each: a weight is unpacked once for 4 rows, a value of x is
// loaded once for 8 outputs. The includer defines finish.
#include "shared/eight.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let o = (wid.x * WG + lid) * (TN / WG);
  let r = wid.y * TM;
  if (o >= p.n) {
    return;
  }
  // Rows and outputs beyond the end repeat the last.
  let x_rows = p.x_offset + min(vec4<u32>(r, r + 1u, r + 2u, r + 3u), vec4<u32>(p.rows - 1u)) * p.x_ld;
  let last = vec4<u32>(p.n - 1u);
  let row_a = min(vec4<u32>(o, o + 1u, o + 2u, o + 3u), last);
  let row_b = min(vec4<u32>(o + 4u, o + 5u, o + 6u, o + 7u), last);
  let row_words = row_blocks(p.k) * 4u;
  let groups = row_groups(p.k);
  var at = Eight(
    p.w_0 * 4u + row_a * row_words, p.w_0 * 4u + row_b * row_words, p.s_0 + row_a * groups, p.s_0 + row_b * groups
  );
  // Sums of row i of x, for the first and the last four outputs.
  var sum0a = vec4<f32>(0.0);
  var sum0b = vec4<f32>(0.0);
  var sum1a = vec4<f32>(0.0);
  var sum1b = vec4<f32>(0.0);
  var sum2a = vec4<f32>(0.0);
  var sum2b = vec4<f32>(0.0);
  var sum3a = vec4<f32>(0.0);
  var sum3b = vec4<f32>(0.0);
  var c = 0u;
  while (c < p.k) {
#if FORMAT == q4 || FORMAT == q8
    let stop = c + p.group;
    let sa = words(at.scale_a);
    let sb = words(at.scale_b);
    at.scale_a += vec4<u32>(1u);
    at.scale_b += vec4<u32>(1u);
    let scale_a = scales(sa);
    let scale_b = scales(sb);
    let bias_a = biases(sa);
    let bias_b = biases(sb);
#else
    let stop = p.k;
#endif
    while (c < stop) {
      let qa = words(at.a);
      let qb = words(at.b);
      at.a += vec4<u32>(1u);
      at.b += vec4<u32>(1u);
      let first = c;
      for (var next = min(c + WORD, stop); c < next; c++) {
#if FORMAT == q4 || FORMAT == q8
        let wa = fma(values(qa, c - first), scale_a, bias_a);
        let wb = fma(values(qb, c - first), scale_b, bias_b);
#else
        let wa = values(qa, c - first);
        let wb = values(qb, c - first);
#endif
        let x0 = vec4<f32>(x[x_rows.x + c]);
        let x1 = vec4<f32>(x[x_rows.y + c]);
        let x2 = vec4<f32>(x[x_rows.z + c]);
        let x3 = vec4<f32>(x[x_rows.w + c]);
        sum0a = fma(wa, x0, sum0a);
        sum0b = fma(wb, x0, sum0b);
        sum1a = fma(wa, x1, sum1a);
        sum1b = fma(wb, x1, sum1b);
        sum2a = fma(wa, x2, sum2a);
        sum2b = fma(wb, x2, sum2b);
        sum3a = fma(wa, x3, sum3a);
        sum3b = fma(wb, x3, sum3b);
      }
    }
  }
  var sums = array<vec4<f32>, 8>(sum0a, sum0b, sum1a, sum1b, sum2a, sum2b, sum3a, sum3b);
  for (var i = r; i < min(r + TM, p.rows); i++) {
    for (var j = o; j < min(o + 8u, p.n); j++) {
      finish(i, j, sums[(i - r) * 2u + (j - o) / 4u][(j - o) % 4u]);
    }
  }
}
