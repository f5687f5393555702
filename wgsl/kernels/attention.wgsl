// y = softmax(scale * q k^T) v, per head. q, y [rows, heads * head_dim]; query head h reads KV head h * kv_heads / heads.
// CAUSAL: k, v are the cache, and row r sees the positions 0..run.pos + r; otherwise k, v [rows, kv_heads * head_dim], and
// every row sees all. The softmax runs in f32 with a running maximum: scores are never stored beyond a few keys.
// Dispatch (ceil(rows / QUERIES), heads). head_dim <= DIM.
// tile: matrix products in workgroup memory (14.5 KiB), 32 queries by 32 keys by slices of 32 columns, 16 sums an
// invocation: for adapters with fast workgroup memory.
// row: four queries an invocation against eight keys or columns at a time, no barrier: for adapters that run invocations
// as lanes of a CPU. Sums wait in y.
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
// Positions of a tile, and columns of a slice of one.
const KEYS: u32 = 32u;
const SLICE: u32 = 32u;
// Columns are rows here, of 8 vectors and one of padding, so that neighbours write to different banks.
const LD: u32 = 9u;
// [column of a slice, query]
var<workgroup> q_tile: array<vec4<f32>, SLICE * LD>;
// [column, key]; then a slice of the values, [key, column].
var<workgroup> kv_tile: array<vec4<f32>, SLICE * LD>;
// e^(score - largest), [key, query]
var<workgroup> shares: array<vec4<f32>, KEYS * LD>;
// What the 8 invocations of 4 queries join.
var<workgroup> parts: array<vec4<f32>, WG>;

// Invocation (tx, ty) of the 8 x 8 has the queries 4 ty..4 ty + 3: for them the scores of the keys 4 tx..4 tx + 3 of a
// tile, and the columns 4 tx..4 tx + 3 of each slice of the result.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let tx = lid % 8u;
  let ty = lid / 8u;
  let head = wid.y * p.head_dim;
  let kv_column = wid.y * p.kv_heads / p.heads * p.head_dim;
  let first_row = wid.x * QUERIES;
  let row = first_row + 4u * ty;
  let last_row = p.rows - 1u;
  let limit = vec4<u32>(
    visible(min(row, last_row)),
    visible(min(row + 1u, last_row)),
    visible(min(row + 2u, last_row)),
    visible(min(row + 3u, last_row)),
  );
  let keys = visible(min(first_row + QUERIES - 1u, last_row));
  // Per slice a matrix [column, query].
  var sums: array<mat4x4<f32>, DIM / SLICE>;
  var largest = vec4<f32>(LOWEST);
  var total = vec4<f32>(0.0);

  for (var first = 0u; first < keys; first += KEYS) {
    var scores = mat4x4<f32>();
    for (var c = 0u; c < p.head_dim; c += SLICE) {
      let width = min(SLICE, p.head_dim - c);
      workgroupBarrier();
      for (var i = lid; i < SLICE * 8u; i += WG) {
        let column = i % SLICE;
        let group = i / SLICE * 4u;
        if column < width {
          // Rows past the end are the last again: such queries are not written, and such keys not seen.
          let rows = min(vec4<u32>(first_row + group) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last_row));
          let at_q = p.q_offset + head + c + column + rows * p.q_ld;
          q_tile[column * LD + group / 4u] = vec4<f32>(q[at_q.x], q[at_q.y], q[at_q.z], q[at_q.w]);
          let places = min(vec4<u32>(first + group) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(keys - 1u));
          let at_k = p.k_offset + kv_column + c + column + places * p.k_ld;
          kv_tile[column * LD + group / 4u] = vec4<f32>(k[at_k.x], k[at_k.y], k[at_k.z], k[at_k.w]);
        }
      }
      workgroupBarrier();
      for (var column = 0u; column < width; column++) {
        let queries = q_tile[column * LD + ty];
        let key = kv_tile[column * LD + tx];
        scores += mat4x4<f32>(queries * key.x, queries * key.y, queries * key.z, queries * key.w);
      }
    }

    let place = vec4<u32>(first + 4u * tx);
    let seen_0 = place < limit;
    let seen_1 = place + 1u < limit;
    let seen_2 = place + 2u < limit;
    let seen_3 = place + 3u < limit;
    let lowest = vec4<f32>(LOWEST);
    let score_0 = select(lowest, scores[0] * p.scale, seen_0);
    let score_1 = select(lowest, scores[1] * p.scale, seen_1);
    let score_2 = select(lowest, scores[2] * p.scale, seen_2);
    let score_3 = select(lowest, scores[3] * p.scale, seen_3);
    parts[lid] = max(max(score_0, score_1), max(score_2, score_3));
    workgroupBarrier();
    var above = largest;
    for (var i = 0u; i < 8u; i++) {
      above = max(above, parts[ty * 8u + i]);
    }
    let none = vec4<f32>(0.0);
    let share_0 = select(none, exp_below4(score_0 - above), seen_0);
    let share_1 = select(none, exp_below4(score_1 - above), seen_1);
    let share_2 = select(none, exp_below4(score_2 - above), seen_2);
    let share_3 = select(none, exp_below4(score_3 - above), seen_3);
    shares[4u * tx * LD + ty] = share_0;
    shares[(4u * tx + 1u) * LD + ty] = share_1;
    shares[(4u * tx + 2u) * LD + ty] = share_2;
    shares[(4u * tx + 3u) * LD + ty] = share_3;
    let shrink = exp_below4(largest - above);
    largest = above;
    // Of this invocation's keys alone, until the end.
    total = total * shrink + ((share_0 + share_1) + (share_2 + share_3));

    let count = min(KEYS, keys - first);
    for (var slice = 0u; slice < DIM / SLICE; slice++) {
      let c = slice * SLICE;
      workgroupBarrier();
      for (var i = lid; i < KEYS * 8u; i += WG) {
        let columns = min(vec4<u32>(c + i % 8u * 4u) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.head_dim - 1u));
        let at = p.v_offset + min(first + i / 8u, keys - 1u) * p.v_ld + kv_column + columns;
        kv_tile[i] = vec4<f32>(v[at.x], v[at.y], v[at.z], v[at.w]);
      }
      workgroupBarrier();
      var sum = mat4x4<f32>(
        sums[slice][0] * shrink,
        sums[slice][1] * shrink,
        sums[slice][2] * shrink,
        sums[slice][3] * shrink,
      );
      for (var key = 0u; key < count; key++) {
        let share = shares[key * LD + ty];
        let value = kv_tile[key * 8u + tx];
        sum += mat4x4<f32>(share * value.x, share * value.y, share * value.z, share * value.w);
      }
      sums[slice] = sum;
    }
  }

  workgroupBarrier();
  parts[lid] = total;
  workgroupBarrier();
  total = vec4<f32>(0.0);
  for (var i = 0u; i < 8u; i++) {
    total += parts[ty * 8u + i];
  }
  for (var slice = 0u; slice < DIM / SLICE; slice++) {
    // A copy: indexed by a variable, the whole array would leave the registers.
    var result = sums[slice];
    let first_column = slice * SLICE + 4u * tx;
    let end = min(first_column + 4u, p.head_dim);
    for (var column = first_column; column < end; column++) {
      let values = result[column - first_column] / total;
      for (var r = row; r < min(row + 4u, p.rows); r++) {
        y[p.y_offset + r * p.y_ld + head + column] = values[r - row];
      }
    }
  }
}
#else
const KEYS: u32 = 64u;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let row = wid.x * QUERIES + lid * 4u;
  if row >= p.rows {
    return;
  }
  const STEPS = vec4<u32>(0u, 1u, 2u, 3u);
  // Queries past the last row are the last again.
  let rows = min(row + STEPS, vec4<u32>(p.rows - 1u));
  let head = wid.y * p.head_dim;
  let kv_column = wid.y * p.kv_heads / p.heads * p.head_dim;
  let keys = visible(rows.w);
  let limit = vec4<u32>(visible(rows.x), visible(rows.y), visible(rows.z), keys);
  let at_q = p.q_offset + rows * p.q_ld + head;
  let at_y = p.y_offset + rows * p.y_ld + head;
  // Of a block of keys, for the four queries: scores, then e^(score - largest).
  var shares: array<vec4<f32>, KEYS>;
  var largest = vec4<f32>(LOWEST);
  var total = vec4<f32>(0.0);

  for (var first = 0u; first < keys; first += KEYS) {
    let count = min(KEYS, keys - first);
    var above = largest;
    for (var j = 0u; j < count; j += 8u) {
      // Keys past the last one are the last again; no query sees them.
      let low = first + j + STEPS;
      let high = low + 4u;
      let at_low = p.k_offset + kv_column + min(low, vec4<u32>(keys - 1u)) * p.k_ld;
      let at_high = p.k_offset + kv_column + min(high, vec4<u32>(keys - 1u)) * p.k_ld;
      var a = mat4x4<f32>();
      var b = mat4x4<f32>();
      for (var c = 0u; c < p.head_dim; c++) {
        let one = vec4<f32>(q[at_q.x + c], q[at_q.y + c], q[at_q.z + c], q[at_q.w + c]);
        a += mat4x4<f32>(one * k[at_low.x + c], one * k[at_low.y + c], one * k[at_low.z + c], one * k[at_low.w + c]);
        b += mat4x4<f32>(one * k[at_high.x + c], one * k[at_high.y + c], one * k[at_high.z + c], one * k[at_high.w + c]);
      }
      var scores = array<vec4<f32>, 8>(a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]);
      let end = min(j + 8u, count);
      for (var i = j; i < end; i++) {
        let score = select(vec4<f32>(LOWEST), scores[i - j] * p.scale, vec4<u32>(first + i) < limit);
        shares[i] = score;
        above = max(above, score);
      }
    }
    let shrink = exp_below4(largest - above);
    largest = above;
    total *= shrink;
    for (var j = 0u; j < count; j++) {
      let share = select(vec4<f32>(0.0), exp_below4(shares[j] - above), vec4<u32>(first + j) < limit);
      shares[j] = share;
      total += share;
    }
    // What the blocks before came to waits in y.
    let divisor = select(vec4<f32>(1.0), total, first + count == keys);
    for (var c = 0u; c < p.head_dim; c += 8u) {
      let at = p.v_offset + first * p.v_ld + kv_column;
      // Columns past the last one are the last again, and not written.
      let low = at + min(c + STEPS, vec4<u32>(p.head_dim - 1u));
      let high = at + min(c + 4u + STEPS, vec4<u32>(p.head_dim - 1u));
      var a = mat4x4<f32>();
      var b = mat4x4<f32>();
      for (var j = 0u; j < count; j++) {
        let share = shares[j];
        let r = j * p.v_ld;
        a += mat4x4<f32>(share * v[low.x + r], share * v[low.y + r], share * v[low.z + r], share * v[low.w + r]);
        b += mat4x4<f32>(share * v[high.x + r], share * v[high.y + r], share * v[high.z + r], share * v[high.w + r]);
      }
      let end = min(c + 8u, p.head_dim);
      var sums = array<vec4<f32>, 8>(a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]);
      for (var i = c; i < end; i++) {
        var sum = sums[i - c];
        if first > 0u {
          sum += shrink * vec4<f32>(y[at_y.x + i], y[at_y.y + i], y[at_y.z + i], y[at_y.w + i]);
        }
        sum /= divisor;
        y[at_y.x + i] = sum.x;
        y[at_y.y + i] = sum.y;
        y[at_y.z + i] = sum.z;
        y[at_y.w + i] = sum.w;
      }
    }
  }
}
#endif
