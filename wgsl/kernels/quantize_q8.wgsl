// Rows of x to int8 for linear_gemm_int8: for every 32 values scale = max|x| / 127 (0 below the normal range) and
// code = x / scale, rounded half to even. A NaN or an infinity makes the scale, and so all sums with it, NaN.
// x [rows, k] f32, k a multiple of 32; xq [rows, k / 16]: 16 codes a vec4, in k order; xs [rows, k / 32]: (scale,
// scale * sum of the codes). One invocation a block of 32.
#include "shared/index.wgsl"

fn four(at: u32) -> vec4<f32> {
  return vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}

fn largest(v: vec4<f32>) -> u32 {
  // As bits without the sign: NaN is above everything.
  let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
  return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

fn sixteen(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, scale: f32) -> array<vec4<i32>, 4> {
  return array<vec4<i32>, 4>(
    vec4<i32>(round(a / scale)), vec4<i32>(round(b / scale)), vec4<i32>(round(c / scale)), vec4<i32>(round(d / scale))
  );
}

fn packed(q: array<vec4<i32>, 4>) -> vec4<u32> {
  return vec4<u32>(pack4xI8(q[0]), pack4xI8(q[1]), pack4xI8(q[2]), pack4xI8(q[3]));
}

fn sum_of(q: array<vec4<i32>, 4>) -> i32 {
  let t = q[0] + q[1] + q[2] + q[3];
  return t.x + t.y + t.z + t.w;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = flat_workgroup(wid, p.grid_x) * WG + lid;
  let blocks = p.k / 32u;
  let r = i / blocks;
  if (r >= p.rows) {
    return;
  }
  let at = p.x_offset + r * p.x_ld + (i % blocks) * 32u;
  let a = four(at);
  let b = four(at + 4u);
  let c = four(at + 8u);
  let d = four(at + 12u);
  let e = four(at + 16u);
  let f = four(at + 20u);
  let g = four(at + 24u);
  let h = four(at + 28u);
  let top = max(
    max(max(largest(a), largest(b)), max(largest(c), largest(d))),
    max(max(largest(e), largest(f)), max(largest(g), largest(h)))
  );
  var scale = bitcast<f32>(top) / 127.0;
  if (top >= 0x7f800000u || scale < 1.17549435e-38) {
    xq[2u * i] = vec4<u32>(0u);
    xq[2u * i + 1u] = vec4<u32>(0u);
    // The bits of a quiet NaN, or zero.
    let bad = select(0u, 0x7fc00000u, top >= 0x7f800000u);
    xs[i] = bitcast<vec2<f32>>(vec2<u32>(bad));
    return;
  }
  let low = sixteen(a, b, c, d, scale);
  let high = sixteen(e, f, g, h, scale);
  xq[2u * i] = packed(low);
  xq[2u * i + 1u] = packed(high);
  xs[i] = vec2<f32>(scale, scale * f32(sum_of(low) + sum_of(high)));
}
