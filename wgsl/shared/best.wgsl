// The best (key, index) of a workgroup of WG invocations (a multiple of 16), the same for all; every one must call.
var<workgroup> candidates: array<vec2<u32>, WG>;
var<workgroup> finalists: array<vec2<u32>, 16>;

fn best_of_all(mine: vec2<u32>, lid: u32) -> vec2<u32> {
  candidates[lid] = mine;
  workgroupBarrier();
  if lid < 16u {
    var best = mine;
    for (var i = lid + 16u; i < WG; i += 16u) {
      best = better(best, candidates[i]);
    }
    finalists[lid] = best;
  }
  workgroupBarrier();
  var best = finalists[0];
  for (var i = 1u; i < 16u; i++) {
    best = better(best, finalists[i]);
  }
  return best;
}
