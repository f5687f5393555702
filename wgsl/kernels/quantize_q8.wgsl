// Rows of x to int8 for linear_gemm_int8: for every 32 values scale = max|x| / 127 (0 below the normal range) and
// code = x / scale, rounded half to even. A NaN or an infinity makes the scale, and so all sums with it, NaN.
// x [rows, k] f32, k a multiple of 32; xq [rows, k / 16]: 16 codes a vec4, in k order; xs [rows, k / 32]: (scale,
// scale * sum of the codes). One invocation a block of 32.
#include "shared/index.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = flat_workgroup(wid, p.grid_x) * WG + lid;
  let blocks = p.k / 32u;
  let r = i / blocks;
  if (r >= p.rows) {
    return;
  }
  let first = p.x_offset + r * p.x_ld + (i % blocks) * 32u;
  // As bits without the sign, NaN is above everything.
  var top = 0u;
  for (var at = first; at < first + 32u; at++) {
    top = max(top, bitcast<u32>(x[at]) & 0x7fffffffu);
  }
  let finite = top < 0x7f800000u;
  let scale = bitcast<f32>(top) / 127.0;
  let some = finite && scale >= 1.17549435e-38;
  let divisor = select(1.0, scale, some);
  var sum = 0;
  for (var at = first; at < first + 32u; at += 4u) {
    var q = vec4<i32>(round(vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]) / divisor));
    q = select(vec4<i32>(0), q, vec4<bool>(some));
    sum += (q.x + q.y) + (q.z + q.w);
    xq[2u * i + (at - first) / 16u][(at - first) / 4u % 4u] = pack4xI8(q);
  }
  // Where there is no scale: zero, or the bits of a NaN.
  let none = bitcast<vec2<f32>>(vec2<u32>(select(0x7fc00000u, 0u, finite)));
  xs[i] = select(none, vec2<f32>(scale, scale * f32(sum)), vec2<bool>(some));
}
