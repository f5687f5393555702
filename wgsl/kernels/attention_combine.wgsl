// Joins the chunks of attention_step: y = sum of values / sum of weights, brought to the largest maximum.
// partials [chunk, heads, 2 + head_dim], chunks of p.chunk positions up to run.pos; y [heads * head_dim]. An invocation an
// element of y.
#include "shared/softmax.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = wid.x * WG + lid;
  if i >= p.heads * p.head_dim {
    return;
  }
  let stride = p.head_dim + 2u;
  let first = i / p.head_dim * stride;
  let end = first + (run.pos / p.chunk + 1u) * p.heads * stride;
  var largest = LOWEST;
  for (var at = first; at < end; at += p.heads * stride) {
    largest = max(largest, partials[at]);
  }
  var total = 0.0;
  var sum = 0.0;
  for (var at = first; at < end; at += p.heads * stride) {
    let part = exp_below(partials[at] - largest);
    total += part * partials[at + 1u];
    sum += part * partials[at + 2u + i % p.head_dim];
  }
  y[p.y_offset + i] = sum / total;
}
