// y[r, c] = x[ids[r], c]: rows of a tensor by index; an index past the end takes row `last`.
// ids [rows] u32, x [last + 1, cols], y [rows, cols]. Flat, an invocation an element of y.
#include "shared/index.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = flat_workgroup(wid, p.grid_x) * WG + lid;
  if i >= p.rows * p.cols {
    return;
  }
  let r = i / p.cols;
  let c = i % p.cols;
  let id = min(ids[p.ids_offset + r], p.last);
  y[p.y_offset + r * p.y_ld + c] = x[p.x_offset + id * p.x_ld + c];
}
