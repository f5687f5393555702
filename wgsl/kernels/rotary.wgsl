// Rotary positions in place: (a, b) = (a cos - b sin, b cos + a sin) for the pairs (i, i + head_dim / 2) of each head.
// x [rows, heads * head_dim], row r at position run.pos + r; angles [position, head_dim / 2] = (cos, sin), made in
// float64. Flat, an invocation a pair.
#include "shared/index.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = flat_workgroup(wid, p.grid_x) * WG + lid;
  let half = p.head_dim / 2u;
  if i >= p.rows * p.heads * half {
    return;
  }
  let r = i / (p.heads * half);
  let head = i / half % p.heads;
  let d = i % half;
  let at = p.x_offset + r * p.x_ld + head * p.head_dim + d;
  let angle = angles[(run.pos + r) * half + d];
  let a = x[at];
  let b = x[at + half];
  x[at] = a * angle.x - b * angle.y;
  x[at + half] = b * angle.x + a * angle.y;
}
