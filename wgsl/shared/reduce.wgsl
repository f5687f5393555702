// Sums and maxima over a workgroup of WG invocations (a multiple of 16), the same value for all of them.
// Every invocation must call; lane and lanes (its place in its subgroup) count for `subgroup` alone. Two barriers each, because a barrier costs more than reading 16 values again.
#if REDUCE == subgroup
var<workgroup> reduced: array<vec2<f32>, WG>;

// Slots are numbered by invocation and not by subgroup: nothing says how invocations are dealt to subgroups.
fn sum_all(x: vec2<f32>, lid: u32, lane: u32, lanes: u32) -> vec2<f32> {
  let mine = subgroupAdd(x);
  reduced[lid] = select(vec2<f32>(0.0), mine, lane == 0u);
  workgroupBarrier();
  var rest = vec2<f32>(0.0);
  for (var i = lane; i < WG; i += lanes) {
    rest += reduced[i];
  }
  let all = subgroupAdd(rest);
  workgroupBarrier();
  return all;
}
#elif REDUCE == workgroup
var<workgroup> reduced: array<vec2<f32>, WG>;
var<workgroup> joined: array<vec2<f32>, 16>;

fn sum_all(x: vec2<f32>, lid: u32, lane: u32, lanes: u32) -> vec2<f32> {
  reduced[lid] = x;
  workgroupBarrier();
  if lid < 16u {
    var part = reduced[lid];
    for (var i = lid + 16u; i < WG; i += 16u) {
      part += reduced[i];
    }
    joined[lid] = part;
  }
  workgroupBarrier();
  var all = joined[0];
  for (var i = 1u; i < 16u; i++) {
    all += joined[i];
  }
  return all;
}

fn max_all(x: f32, lid: u32) -> f32 {
  reduced[lid].x = x;
  workgroupBarrier();
  if lid < 16u {
    var part = reduced[lid].x;
    for (var i = lid + 16u; i < WG; i += 16u) {
      part = max(part, reduced[i].x);
    }
    joined[lid].x = part;
  }
  workgroupBarrier();
  var all = joined[0].x;
  for (var i = 1u; i < 16u; i++) {
    all = max(all, joined[i].x);
  }
  return all;
}
#endif
