// y[0] = cls + positions[0], y[1 + i] = x[i] + positions[1 + i]; without a class token (cls NONE) y = x + positions.
// x [rows - 1 or rows, cols], y [rows, cols]; cls [cols] and positions [rows, cols] lie dense in v. Flat, an invocation
// an element of y.
#include "shared/index.wgsl"
const NONE: u32 = 0xffffffffu;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = flat_workgroup(wid, p.grid_x) * WG + lid;
  if i >= p.rows * p.cols {
    return;
  }
  let r = i / p.cols;
  let c = i % p.cols;
  let first = select(1u, 0u, p.cls == NONE);
  var value: f32;
  if r < first {
    value = v[p.cls + c];
  } else {
    value = x[p.x_offset + (r - first) * p.x_ld + c];
  }
  y[p.y_offset + r * p.y_ld + c] = value + v[p.positions + i];
}
