// Every kernel x kernel window of a grid at a stride: y[oy * out + ox, (ky * kernel + kx) * cols + c] =
// x[(oy * stride + ky) * grid + ox * stride + kx, c].
// x [grid * grid, cols], y [out * out, kernel * kernel * cols]. Flat, an invocation an element of y.
#include "shared/index.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = flat_workgroup(wid, p.grid_x) * WG + lid;
  let width = p.kernel * p.kernel * p.cols;
  if i >= p.out * p.out * width {
    return;
  }
  let row = i / width;
  let col = i % width;
  let tap = col / p.cols;
  let from_y = row / p.out * p.stride + tap / p.kernel;
  let from_x = row % p.out * p.stride + tap % p.kernel;
  y[p.y_offset + row * p.y_ld + col] = x[p.x_offset + (from_y * p.grid + from_x) * p.x_ld + col % p.cols];
}
