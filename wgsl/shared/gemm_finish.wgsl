// Output (r, o) of a matrix product from its sum: bias, activation, residual.
#include "shared/act.wgsl"

const NONE: u32 = 0xffffffffu;

fn finish(r: u32, o: u32, sum: f32) {
  let to = p.y_offset + r * p.y_ld + o;
  var value = sum * p.unit;
  if (p.bias_0 != NONE) {
    value += v[p.bias_0 + o];
  }
  value = activate(value);
  if (p.residual_mode == 1u) {
    value += residual[p.residual_offset + r * p.residual_ld + o];
  } else if (p.residual_mode == 2u) {
    value += y[to];
  }
  y[to] = value;
}
