// One query over the positions 0..run.pos of the cache, in chunks of CHUNK positions: for each chunk and head the largest
// score, the sum of e^(score - largest), and the values summed with these weights. attention_combine joins them.
// qkv: q [heads * head_dim] at q_offset, the new key and value [kv_heads * head_dim] at k_offset and v_offset; query head h
// reads KV head h * kv_heads / heads. caches [context, kv_heads * head_dim];
// partials [chunk, heads, 2 + head_dim]. head_dim <= DIM.
// ROTARY: q and the new key are turned here by angles [position, head_dim / 2] = (cos, sin), and the turned key and the
// value go into the cache at run.pos, by the first query head of their KV head. Nobody reads them there in this dispatch.
// Otherwise q is turned already, and the cache is complete.
// workgroup: dispatch (chunks, heads): eight neighbouring invocations read a key, then each a column of the values.
// Workgroup memory: (2 * DIM + 9 * CHUNK) * 4 B, CHUNK == WG. row: dispatch (chunks, ceil(heads / WG)), an invocation a head, no barrier.
#include "shared/softmax.wgsl"

// Column c of the turned vector at `at` of qkv.
fn turned(at: u32, c: u32) -> f32 {
#if ROTARY
  let half = p.head_dim / 2u;
  let i = c % half;
  let angle = angles[run.pos * half + i];
  let a = qkv[at + i];
  let b = qkv[at + i + half];
  return select(b * angle.x + a * angle.y, a * angle.x - b * angle.y, c < half);
#else
  return qkv[at + c];
#endif
}

fn writes_cache(head: u32, kv_head: u32) -> bool {
  return head == 0u || (head - 1u) * p.kv_heads / p.heads != kv_head;
}

#if SHAPE == workgroup
const LANES: u32 = 8u;
var<workgroup> query: array<f32, DIM>;
#if ROTARY
var<workgroup> new_key: array<f32, DIM>;
#endif
// [CHUNK, LANES + 1]: the padding keeps the rows of a column in different banks.
var<workgroup> products: array<f32, CHUNK * (LANES + 1)>;
var<workgroup> scores: array<f32, CHUNK>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let head = wid.y;
  let kv_head = head * p.kv_heads / p.heads;
  let kv_width = p.kv_heads * p.head_dim;
  let kv_column = kv_head * p.head_dim;
  let first = wid.x * CHUNK;
  let count = min(CHUNK, run.pos + 1u - first);
  for (var c = lid; c < p.head_dim; c += WG) {
    query[c] = turned(p.q_offset + head * p.head_dim, c) * p.scale;
  }
#if ROTARY
  if first + count == run.pos + 1u {
    for (var c = lid; c < p.head_dim; c += WG) {
      let key = turned(p.k_offset + kv_column, c);
      new_key[c] = key;
      if writes_cache(head, kv_head) {
        cache_k[run.pos * kv_width + kv_column + c] = key;
        cache_v[run.pos * kv_width + kv_column + c] = qkv[p.v_offset + kv_column + c];
      }
    }
  }
  // Positions that are in the cache already.
  let cached = min(count, run.pos - first);
#else
  let cached = count;
#endif
  workgroupBarrier();

  let lane = lid % LANES;
  for (var j = lid / LANES; j < CHUNK; j += WG / LANES) {
    var sum = 0.0;
    if j < cached {
      let at = (first + j) * kv_width + kv_column;
      for (var c = lane; c < p.head_dim; c += LANES) {
        sum += query[c] * cache_k[at + c];
      }
    }
#if ROTARY
    if j >= cached && j < count {
      for (var c = lane; c < p.head_dim; c += LANES) {
        sum += query[c] * new_key[c];
      }
    }
#endif
    products[j * (LANES + 1u) + lane] = sum;
  }
  workgroupBarrier();
  var score = LOWEST;
  if lid < count {
    score = 0.0;
    for (var i = 0u; i < LANES; i++) {
      score += products[lid * (LANES + 1u) + i];
    }
  }
  scores[lid] = score;
  workgroupBarrier();
  var largest = LOWEST;
  for (var j = 0u; j < count; j++) {
    largest = max(largest, scores[j]);
  }
  workgroupBarrier();
  scores[lid] = exp_below(score - largest);
  workgroupBarrier();

  let to = (wid.x * p.heads + head) * (p.head_dim + 2u);
  for (var c = lid; c < p.head_dim; c += WG) {
    var sum = 0.0;
    for (var j = 0u; j < cached; j++) {
      sum += scores[j] * cache_v[(first + j) * kv_width + kv_column + c];
    }
#if ROTARY
    if cached < count {
      sum += scores[cached] * qkv[p.v_offset + kv_column + c];
    }
#endif
    partials[to + 2u + c] = sum;
  }
  if lid == 0u {
    var total = 0.0;
    for (var j = 0u; j < count; j++) {
      total += scores[j];
    }
    partials[to] = largest;
    partials[to + 1u] = total;
  }
}
#else
const VECS: u32 = DIM / 4u;

fn k4(at: u32) -> vec4<f32> {
  return vec4<f32>(cache_k[at], cache_k[at + 1u], cache_k[at + 2u], cache_k[at + 3u]);
}

fn v4(at: u32) -> vec4<f32> {
  return vec4<f32>(cache_v[at], cache_v[at + 1u], cache_v[at + 2u], cache_v[at + 3u]);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let head = wid.y * WG + lid;
  if head >= p.heads {
    return;
  }
  let kv_head = head * p.kv_heads / p.heads;
  let kv_width = p.kv_heads * p.head_dim;
  let kv_column = kv_head * p.head_dim;
  let first = wid.x * CHUNK;
  let count = min(CHUNK, run.pos + 1u - first);
  let whole = p.head_dim / 4u;
  var query: array<vec4<f32>, VECS>;
  var sums: array<vec4<f32>, VECS>;
  for (var c = 0u; c < p.head_dim; c++) {
    query[c / 4u][c % 4u] = turned(p.q_offset + head * p.head_dim, c) * p.scale;
  }
  var largest = LOWEST;
  var total = 0.0;
#if ROTARY
  let cached = min(count, run.pos - first);
  if cached < count {
    // The new position is the first one seen, with the weight 1.
    largest = 0.0;
    total = 1.0;
    let to = run.pos * kv_width + kv_column;
    for (var c = 0u; c < p.head_dim; c++) {
      let key = turned(p.k_offset + kv_column, c);
      let value = qkv[p.v_offset + kv_column + c];
      largest += query[c / 4u][c % 4u] * key;
      sums[c / 4u][c % 4u] = value;
      if writes_cache(head, kv_head) {
        cache_k[to + c] = key;
        cache_v[to + c] = value;
      }
    }
  }
#else
  let cached = count;
#endif

  for (var j = 0u; j < cached; j += 4u) {
    // Keys past the last one are the last again, with a share of 0.
    let place = vec4<u32>(j) + vec4<u32>(0u, 1u, 2u, 3u);
    let at = (first + min(place, vec4<u32>(cached - 1u))) * kv_width + kv_column;
    var scores = vec4<f32>(0.0);
    for (var d = 0u; d < whole; d++) {
      scores += query[d] * mat4x4<f32>(k4(at.x + 4u * d), k4(at.y + 4u * d), k4(at.z + 4u * d), k4(at.w + 4u * d));
    }
    for (var c = 4u * whole; c < p.head_dim; c++) {
      scores += query[whole][c % 4u] * vec4<f32>(cache_k[at.x + c], cache_k[at.y + c], cache_k[at.z + c], cache_k[at.w + c]);
    }
    let seen = place < vec4<u32>(cached);
    scores = select(vec4<f32>(LOWEST), scores, seen);
    let above = max(largest, max_of4(scores));
    let shares = select(vec4<f32>(0.0), exp_below4(scores - above), seen);
    let shrink = exp_below(largest - above);
    largest = above;
    total = total * shrink + sum_of4(shares);
    for (var d = 0u; d < whole; d++) {
      let values = mat4x4<f32>(v4(at.x + 4u * d), v4(at.y + 4u * d), v4(at.z + 4u * d), v4(at.w + 4u * d));
      sums[d] = sums[d] * shrink + values * shares;
    }
    for (var c = 4u * whole; c < p.head_dim; c++) {
      let column = vec4<f32>(cache_v[at.x + c], cache_v[at.y + c], cache_v[at.z + c], cache_v[at.w + c]);
      sums[whole][c % 4u] = sums[whole][c % 4u] * shrink + dot(column, shares);
    }
  }

  let to = (wid.x * p.heads + head) * (p.head_dim + 2u);
  partials[to] = largest;
  partials[to + 1u] = total;
  for (var c = 0u; c < p.head_dim; c++) {
    partials[to + 2u + c] = sums[c / 4u][c % 4u];
  }
}
#endif
