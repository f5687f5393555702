// Several windows of one grid in one dispatch, each flattened to [kernel, kernel, cols]:
// crop: the centred kernel x kernel window, which starts at floor((grid - kernel) / 2);
// pool: the adaptive average: output j covers floor(j * grid / kernel) up to ceil((j + 1) * grid / kernel).
// x [grid * grid, cols]; parts[i] = (first element, kernel, y offset, 0), `count` of them, in order and without gaps.
// Flat, an invocation an element over all parts.
#include "shared/index.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = flat_workgroup(wid, p.grid_x) * WG + lid;
  var part = p.parts[0];
  for (var n = 1u; n < p.count; n++) {
    if i >= p.parts[n].x {
      part = p.parts[n];
    }
  }
  let kernel = part.y;
  let element = i - part.x;
  // Only past the last part.
  if element >= kernel * kernel * p.cols {
    return;
  }
  let tap = element / p.cols;
  let c = element % p.cols;
  let ky = tap / kernel;
  let kx = tap % kernel;
#if WINDOW == crop
  let start = (p.grid - kernel) / 2u;
  y[part.z + element] = x[p.x_offset + ((start + ky) * p.grid + start + kx) * p.x_ld + c];
#else
  let top = ky * p.grid / kernel;
  let bottom = ((ky + 1u) * p.grid + kernel - 1u) / kernel;
  let left = kx * p.grid / kernel;
  let right = ((kx + 1u) * p.grid + kernel - 1u) / kernel;
  var sum = 0.0;
  for (var row = top; row < bottom; row++) {
    for (var col = left; col < right; col++) {
      sum += x[p.x_offset + (row * p.grid + col) * p.x_ld + c];
    }
  }
  y[part.z + element] = sum / f32((bottom - top) * (right - left));
#endif
}
