// For each chunk of p.chunk logits the key (shared/order.wgsl) of the largest and its first index; BAD if one is NaN or
// +infinity. logits [n] at p.offset, partials [ceil(n / p.chunk)].
// workgroup: a chunk a workgroup, logits read in order by neighbouring invocations; WG * 8 + 128 B. row: a chunk an
// invocation, no barrier.
#include "shared/order.wgsl"
#if REDUCE == workgroup
#include "shared/best.wgsl"
#endif

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
#if REDUCE == workgroup
  let chunk = wid.x;
  let first = chunk * p.chunk + lid;
  const stride = WG;
#else
  let chunk = wid.x * WG + lid;
  let first = chunk * p.chunk;
  const stride = 1u;
  if first >= p.n {
    return;
  }
#endif
  let end = min(p.n, (chunk + 1u) * p.chunk);
  var best = vec2<u32>(0u, BAD);
  for (var i = first; i < end; i += stride) {
    best = better(best, vec2<u32>(key_of(logits[p.offset + i]), i));
  }
#if REDUCE == workgroup
  best = best_of_all(best, lid);
  if lid == 0u {
    partials[chunk] = best;
  }
#else
  partials[chunk] = best;
#endif
}
