// The next token from argmax's `count` chunks, into ids[ids_offset] for the next step and token[0] for the host. When a
// logit was NaN or +infinity, or all are -infinity: token BAD, and the id 0, so that the next step stays within the table.
#include "shared/order.wgsl"

@compute @workgroup_size(WG)
fn main() {
  var best = partials[0];
  for (var i = 1u; i < p.count; i++) {
    best = better(best, partials[i]);
  }
  let possible = best.x != BAD && best.x > MINUS_INFINITY;
  token[0] = select(BAD, best.y, possible);
  ids[p.ids_offset] = select(0u, best.y, possible);
}
