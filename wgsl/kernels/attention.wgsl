// y = softmax(scale * q k^T) v, per head. q, y [rows, heads * head_dim]; query head h reads KV head h * kv_heads / heads.
// CAUSAL: k, v are the cache, and row r sees the positions 0..run.pos + r; otherwise k, v [rows, kv_heads * head_dim], and
// every row sees all. The softmax runs in f32 with a running maximum: scores are never stored beyond a few keys.
// Dispatch (ceil(rows / QUERIES), heads). head_dim <= DIM.
// tile: K and V go through workgroup memory (16 KiB) in tiles of KEYS positions; WG / QUERIES invocations share a query,
// each with its own keys, maximum and sum, and join at the end. For adapters with fast workgroup memory.
// row: two queries an invocation, four keys at a time, no barrier: where invocations are lanes of a CPU.
#include "shared/softmax.wgsl"

// How many keys the query of `row` sees.
fn visible(row: u32) -> u32 {
#if CAUSAL
  return run.pos + row + 1u;
#else
  return p.rows;
#endif
}

#if SHAPE == tile
const VECS: u32 = DIM / 4u;
const SPLIT: u32 = WG / QUERIES;
const KEYS: u32 = 2048u / DIM;
// K, then V, [KEYS, VECS] each; at the end what the invocations of a query join.
var<workgroup> tile: array<vec4<f32>, 2 * KEYS * VECS>;

// Columns 4 * d.. of one head of a row, zero past head_dim.
fn load_q(at: u32, d: u32) -> vec4<f32> {
  var value = vec4<f32>(0.0);
  for (var c = 0u; c < 4u; c++) {
    if 4u * d + c < p.head_dim {
      value[c] = q[at + 4u * d + c];
    }
  }
  return value;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let query = lid % QUERIES;
  let split = lid / QUERIES;
  let head = wid.y;
  let kv_column = head * p.kv_heads / p.heads * p.head_dim;
  // Queries past the end compute the last one again.
  let row = min(wid.x * QUERIES + query, p.rows - 1u);
  let keys = visible(min(wid.x * QUERIES + QUERIES, p.rows) - 1u);
  let limit = visible(row);

  var queries: array<vec4<f32>, VECS>;
  var sums: array<vec4<f32>, VECS>;
  for (var d = 0u; d < VECS; d++) {
    queries[d] = load_q(p.q_offset + row * p.q_ld + head * p.head_dim, d) * p.scale;
    sums[d] = vec4<f32>(0.0);
  }
  var largest = LOWEST;
  var total = 0.0;

  for (var first = 0u; first < keys; first += KEYS) {
    workgroupBarrier();
    for (var i = lid; i < KEYS * VECS; i += WG) {
      let key = first + i / VECS;
      var key_value = vec4<f32>(0.0);
      var value = vec4<f32>(0.0);
      for (var c = 0u; c < 4u; c++) {
        let column = i % VECS * 4u + c;
        if key < keys && column < p.head_dim {
          key_value[c] = k[p.k_offset + key * p.k_ld + kv_column + column];
          value[c] = v[p.v_offset + key * p.v_ld + kv_column + column];
        }
      }
      tile[i] = key_value;
      tile[KEYS * VECS + i] = value;
    }
    workgroupBarrier();
    for (var j = split * 4u; j < KEYS; j += SPLIT * 4u) {
      let at = j * VECS;
      var scores = vec4<f32>(0.0);
      for (var d = 0u; d < VECS; d++) {
        let one = queries[d];
        scores += vec4<f32>(
          dot(one, tile[at + d]),
          dot(one, tile[at + VECS + d]),
          dot(one, tile[at + 2u * VECS + d]),
          dot(one, tile[at + 3u * VECS + d]),
        );
      }
      let seen = vec4<u32>(first + j) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(limit);
      scores = select(vec4<f32>(LOWEST), scores, seen);
      let above = max(largest, max_of4(scores));
      let shares = select(vec4<f32>(0.0), exp_below4(scores - above), seen);
      let shrink = exp_below(largest - above);
      largest = above;
      total = total * shrink + sum_of4(shares);
      let values = KEYS * VECS + at;
      for (var d = 0u; d < VECS; d++) {
        sums[d] = sums[d] * shrink
          + shares.x * tile[values + d]
          + shares.y * tile[values + VECS + d]
          + shares.z * tile[values + 2u * VECS + d]
          + shares.w * tile[values + 3u * VECS + d];
      }
    }
  }

  workgroupBarrier();
  tile[lid] = vec4<f32>(largest, total, 0.0, 0.0);
  workgroupBarrier();
  var above = LOWEST;
  for (var s = 0u; s < SPLIT; s++) {
    above = max(above, tile[s * QUERIES + query].x);
  }
  var all = 0.0;
  for (var s = 0u; s < SPLIT; s++) {
    let other = tile[s * QUERIES + query];
    all += other.y * exp_below(other.x - above);
  }
  let part = exp_below(largest - above) / all;
  // Four vectors of a query at a time: [SPLIT, 4, QUERIES].
  for (var piece = 0u; piece < VECS; piece += 4u) {
    workgroupBarrier();
    for (var i = 0u; i < 4u; i++) {
      tile[(split * 4u + i) * QUERIES + query] = sums[piece + i] * part;
    }
    workgroupBarrier();
    for (var i = lid; i < QUERIES * 4u; i += WG) {
      let to_row = wid.x * QUERIES + i / 4u;
      var value = vec4<f32>(0.0);
      for (var s = 0u; s < SPLIT; s++) {
        value += tile[(s * 4u + i % 4u) * QUERIES + i / 4u];
      }
      for (var c = 0u; c < 4u; c++) {
        let column = (piece + i % 4u) * 4u + c;
        if to_row < p.rows && column < p.head_dim {
          y[p.y_offset + to_row * p.y_ld + head * p.head_dim + column] = value[c];
        }
      }
    }
  }
}
#else
const VECS: u32 = DIM / 4u;

fn q4(at: u32) -> vec4<f32> {
  return vec4<f32>(q[at], q[at + 1u], q[at + 2u], q[at + 3u]);
}

fn k4(at: u32) -> vec4<f32> {
  return vec4<f32>(k[at], k[at + 1u], k[at + 2u], k[at + 3u]);
}

fn v4(at: u32) -> vec4<f32> {
  return vec4<f32>(v[at], v[at + 1u], v[at + 2u], v[at + 3u]);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let row_a = wid.x * QUERIES + lid * 2u;
  if row_a >= p.rows {
    return;
  }
  // Past the last row the second query is the first again.
  let row_b = min(row_a + 1u, p.rows - 1u);
  let head = wid.y * p.head_dim;
  let kv_column = wid.y * p.kv_heads / p.heads * p.head_dim;
  let limit_a = visible(row_a);
  let limit_b = visible(row_b);
  let whole = p.head_dim / 4u;
  // Columns past the last whole vector; their places in it stay zero.
  let rest = p.head_dim % 4u;

  var query_a: array<vec4<f32>, VECS>;
  var query_b: array<vec4<f32>, VECS>;
  var sums_a: array<vec4<f32>, VECS>;
  var sums_b: array<vec4<f32>, VECS>;
  let from_a = p.q_offset + row_a * p.q_ld + head;
  let from_b = p.q_offset + row_b * p.q_ld + head;
  for (var d = 0u; d < whole; d++) {
    query_a[d] = q4(from_a + 4u * d) * p.scale;
    query_b[d] = q4(from_b + 4u * d) * p.scale;
  }
  for (var c = 0u; c < rest; c++) {
    query_a[whole][c] = q[from_a + 4u * whole + c] * p.scale;
    query_b[whole][c] = q[from_b + 4u * whole + c] * p.scale;
  }
  var largest = vec2<f32>(LOWEST);
  var total = vec2<f32>(0.0);

  for (var first = 0u; first < limit_b; first += 4u) {
    // Keys past the last one are the last again, with a share of 0.
    let key = min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(limit_b - 1u));
    let at_k = p.k_offset + key * p.k_ld + kv_column;
    let at_v = p.v_offset + key * p.v_ld + kv_column;
    var scores_a = vec4<f32>(0.0);
    var scores_b = vec4<f32>(0.0);
    for (var d = 0u; d < whole; d++) {
      let keys = mat4x4<f32>(k4(at_k.x + 4u * d), k4(at_k.y + 4u * d), k4(at_k.z + 4u * d), k4(at_k.w + 4u * d));
      scores_a += query_a[d] * keys;
      scores_b += query_b[d] * keys;
    }
    for (var c = 4u * whole; c < p.head_dim; c++) {
      let column = vec4<f32>(k[at_k.x + c], k[at_k.y + c], k[at_k.z + c], k[at_k.w + c]);
      scores_a += query_a[whole][c % 4u] * column;
      scores_b += query_b[whole][c % 4u] * column;
    }
    let place = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u);
    let seen_a = place < vec4<u32>(limit_a);
    let seen_b = place < vec4<u32>(limit_b);
    scores_a = select(vec4<f32>(LOWEST), scores_a, seen_a);
    scores_b = select(vec4<f32>(LOWEST), scores_b, seen_b);
    let above = max(largest, vec2<f32>(max_of4(scores_a), max_of4(scores_b)));
    let shares_a = select(vec4<f32>(0.0), exp_below4(scores_a - above.x), seen_a);
    let shares_b = select(vec4<f32>(0.0), exp_below4(scores_b - above.y), seen_b);
    let shrink = exp(max(largest - above, vec2<f32>(-100.0)));
    largest = above;
    total = total * shrink + vec2<f32>(sum_of4(shares_a), sum_of4(shares_b));
    for (var d = 0u; d < whole; d++) {
      let values = mat4x4<f32>(v4(at_v.x + 4u * d), v4(at_v.y + 4u * d), v4(at_v.z + 4u * d), v4(at_v.w + 4u * d));
      sums_a[d] = sums_a[d] * shrink.x + values * shares_a;
      sums_b[d] = sums_b[d] * shrink.y + values * shares_b;
    }
    for (var c = 4u * whole; c < p.head_dim; c++) {
      let column = vec4<f32>(v[at_v.x + c], v[at_v.y + c], v[at_v.z + c], v[at_v.w + c]);
      sums_a[whole][c % 4u] = sums_a[whole][c % 4u] * shrink.x + dot(column, shares_a);
      sums_b[whole][c % 4u] = sums_b[whole][c % 4u] * shrink.y + dot(column, shares_b);
    }
  }

  let inverse = 1.0 / total;
  let to_a = p.y_offset + row_a * p.y_ld + head;
  let to_b = p.y_offset + row_b * p.y_ld + head;
  for (var c = 0u; c < p.head_dim; c++) {
    y[to_a + c] = sums_a[c / 4u][c % 4u] * inverse.x;
  }
  if row_b != row_a {
    for (var c = 0u; c < p.head_dim; c++) {
      y[to_b + c] = sums_b[c / 4u][c % 4u] * inverse.y;
    }
  }
}
#endif
