// y[gy * grid + gx, (c * patch_size + py) * patch_size + px] = x[c, gy * patch_size + py, gx * patch_size + px].
// x: dense pixels [channels, grid * patch_size, grid * patch_size]; y [grid * grid, channels * patch_size * patch_size], in the order of a
// convolution's weights. Flat, an invocation an element of y.
#include "shared/index.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = flat_workgroup(wid, p.grid_x) * WG + lid;
  let cols = p.channels * p.patch_size * p.patch_size;
  if i >= p.grid * p.grid * cols {
    return;
  }
  let row = i / cols;
  let col = i % cols;
  let px = col % p.patch_size;
  let py = col / p.patch_size % p.patch_size;
  let channel = col / (p.patch_size * p.patch_size);
  let side = p.grid * p.patch_size;
  let from_y = row / p.grid * p.patch_size + py;
  let from_x = row % p.grid * p.patch_size + px;
  y[p.y_offset + row * p.y_ld + col] = x[p.x_offset + (channel * side + from_y) * side + from_x];
}
