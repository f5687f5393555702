// Keys and values of `rows` positions into the cache: cache[run.pos + r, c] = k[r, c], v[r, c].
// k, v [rows, kv_heads * head_dim]; caches [context, kv_heads * head_dim], dense. Flat, an invocation an element.
// ROTARY: the pairs (i, i + head_dim / 2) of k are turned on the way, and those of q [rows, heads * head_dim] in place;
// angles [position, head_dim / 2] = (cos, sin). Flat, an invocation a pair of q or k.
#include "shared/index.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = flat_workgroup(wid, p.grid_x) * WG + lid;
  let width = p.kv_heads * p.head_dim;
#if ROTARY
  let half = p.head_dim / 2u;
  let all_heads = p.heads + p.kv_heads;
  if i >= p.rows * all_heads * half {
    return;
  }
  let r = i / (all_heads * half);
  let head = i / half % all_heads;
  let d = i % half;
  let angle = angles[(run.pos + r) * half + d];
  if head < p.heads {
    let at = p.q_offset + r * p.q_ld + head * p.head_dim + d;
    let a = q[at];
    let b = q[at + half];
    q[at] = a * angle.x - b * angle.y;
    q[at + half] = b * angle.x + a * angle.y;
    return;
  }
  let c = (head - p.heads) * p.head_dim + d;
  let to = (run.pos + r) * width + c;
  let a = k[p.k_offset + r * p.k_ld + c];
  let b = k[p.k_offset + r * p.k_ld + c + half];
  cache_k[to] = a * angle.x - b * angle.y;
  cache_k[to + half] = b * angle.x + a * angle.y;
  cache_v[to] = v[p.v_offset + r * p.v_ld + c];
  cache_v[to + half] = v[p.v_offset + r * p.v_ld + c + half];
#else
  if i >= p.rows * width {
    return;
  }
  let r = i / width;
  let c = i % width;
  cache_k[run.pos * width + i] = k[p.k_offset + r * p.k_ld + c];
  cache_v[run.pos * width + i] = v[p.v_offset + r * p.v_ld + c];
#endif
}
