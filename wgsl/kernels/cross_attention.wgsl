// map = softmax(scale * q k^T), y = map v, one head. q [queries, width], k [keys, width], v [keys, v_width],
// map [queries, keys], y [queries, v_width]. Scores wait in the map, so there may be any number of keys.
// workgroup: dispatch (queries): LANES neighbouring invocations read a key, then each a column of the values.
// Workgroup memory: WG * 12 + 128 B. row: an invocation a query, dispatch (ceil(queries / WG)), no barrier.
#include "shared/softmax.wgsl"

#if SHAPE == workgroup
#include "shared/reduce.wgsl"
const LANES: u32 = 16u;
const BATCH: u32 = 8u;
const GROUPS: u32 = WG / LANES;
// [BATCH * GROUPS keys, LANES]
var<workgroup> products: array<f32, BATCH * GROUPS * (LANES + 1)>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let at_q = p.q_offset + wid.x * p.q_ld;
  let at_map = p.map_offset + wid.x * p.map_ld;
  let lane = lid % LANES;
  var largest = LOWEST;
  for (var first = 0u; first < p.keys; first += BATCH * GROUPS) {
    for (var b = 0u; b < BATCH; b++) {
      let slot = b * GROUPS + lid / LANES;
      var sum = 0.0;
      if first + slot < p.keys {
        let at = p.k_offset + (first + slot) * p.k_ld;
        for (var c = lane; c < p.width; c += LANES) {
          sum += q[at_q + c] * k[at + c];
        }
      }
      products[slot * (LANES + 1u) + lane] = sum;
    }
    workgroupBarrier();
    for (var slot = lid; slot < BATCH * GROUPS; slot += WG) {
      var score = 0.0;
      for (var i = 0u; i < LANES; i++) {
        score += products[slot * (LANES + 1u) + i];
      }
      if first + slot < p.keys {
        map[at_map + first + slot] = score * p.scale;
        largest = max(largest, score * p.scale);
      }
    }
    workgroupBarrier();
  }
  largest = max_all(largest, lid);
  storageBarrier();
  var total = 0.0;
  for (var t = lid; t < p.keys; t += WG) {
    let share = exp_below(map[at_map + t] - largest);
    map[at_map + t] = share;
    total += share;
  }
  let inverse = 1.0 / sum_all(vec2<f32>(total), lid, 0u, 1u).x;
  for (var t = lid; t < p.keys; t += WG) {
    map[at_map + t] *= inverse;
  }
  storageBarrier();
  for (var c = lid; c < p.v_width; c += WG) {
    var sum = 0.0;
    for (var t = 0u; t < p.keys; t++) {
      sum += map[at_map + t] * v[p.v_offset + t * p.v_ld + c];
    }
    y[p.y_offset + wid.x * p.y_ld + c] = sum;
  }
}
#else
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
  let row = wid.x * WG + lid;
  if row >= p.queries {
    return;
  }
  let at_q = p.q_offset + row * p.q_ld;
  let at_map = p.map_offset + row * p.map_ld;
  let at_y = p.y_offset + row * p.y_ld;
  let whole = p.width / 4u * 4u;
  var largest = LOWEST;
  for (var t = 0u; t < p.keys; t += 4u) {
    // Keys past the last one are the last again, and write the same.
    let key = min(vec4<u32>(t) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.keys - 1u));
    let at = p.k_offset + key * p.k_ld;
    var scores = vec4<f32>(0.0);
    for (var c = 0u; c < whole; c += 4u) {
      scores += q4(at_q + c) * mat4x4<f32>(k4(at.x + c), k4(at.y + c), k4(at.z + c), k4(at.w + c));
    }
    for (var c = whole; c < p.width; c++) {
      scores += q[at_q + c] * vec4<f32>(k[at.x + c], k[at.y + c], k[at.z + c], k[at.w + c]);
    }
    scores *= p.scale;
    largest = max(largest, max_of4(scores));
    for (var i = 0u; i < 4u; i++) {
      map[at_map + key[i]] = scores[i];
    }
  }
  var total = 0.0;
  for (var t = 0u; t < p.keys; t++) {
    let share = exp_below(map[at_map + t] - largest);
    map[at_map + t] = share;
    total += share;
  }
  let inverse = 1.0 / total;
  for (var t = 0u; t < p.keys; t++) {
    map[at_map + t] *= inverse;
  }
  let whole_v = p.v_width / 16u * 16u;
  for (var c = 0u; c < whole_v; c += 16u) {
    var sums = array<vec4<f32>, 4>();
    for (var t = 0u; t < p.keys; t++) {
      let share = map[at_map + t];
      let at = p.v_offset + t * p.v_ld + c;
      sums[0] += share * v4(at);
      sums[1] += share * v4(at + 4u);
      sums[2] += share * v4(at + 8u);
      sums[3] += share * v4(at + 12u);
    }
    for (var i = 0u; i < 16u; i++) {
      y[at_y + c + i] = sums[i / 4u][i % 4u];
    }
  }
  for (var c = whole_v; c < p.v_width; c++) {
    var sum = 0.0;
    for (var t = 0u; t < p.keys; t++) {
      sum += map[at_map + t] * v[p.v_offset + t * p.v_ld + c];
    }
    y[at_y + c] = sum;
  }
}
#endif
