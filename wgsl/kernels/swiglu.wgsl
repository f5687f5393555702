// y = silu(gate) * up, element by element.
// gate, up, y [rows, cols]. Flat, an invocation an element.
#include "shared/index.wgsl"
#include "shared/silu.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = flat_workgroup(wid, p.grid_x) * WG + lid;
  if i >= p.rows * p.cols {
    return;
  }
  let r = i / p.cols;
  let c = i % p.cols;
  y[p.y_offset + r * p.y_ld + c] = silu(gate[p.gate_offset + r * p.gate_ld + c]) * up[p.up_offset + r * p.up_ld + c];
}
