// y[y_offset + o] = act(sum over chunks of partials + bias[o]) + residual: the end of linear_gemv_split. One invocation
// an output of a part. Part i is (partial_offset, chunks, bias or NONE, y_offset); its residual, in mode 1, begins at
// residual_offset + i residual_ld.
#include "shared/act.wgsl"

const NONE: u32 = 0xffffffffu;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let part = id.x / p.n;
  let o = id.x % p.n;
  if (part >= p.count) {
    return;
  }
  let at = p.parts[part];
  var sum = 0.0;
  for (var c = 0u; c < at.y; c++) {
    sum += partials[at.x + c * p.n + o];
  }
  sum *= p.unit;
  if (at.z != NONE) {
    sum += v[at.z + o];
  }
  sum = activate(sum);
  if (p.residual_mode == 1u) {
    sum += residual[p.residual_offset + part * p.residual_ld + o];
  } else if (p.residual_mode == 2u) {
    sum += y[at.w + o];
  }
  y[at.w + o] = sum;
}
