// Sums of one row of x with four matrix rows, by a team of 32 invocations: adjacent lanes read adjacent blocks of a
// row, so weights arrive in whole lines. x is staged STAGE columns at a time for the whole workgroup, padded so that
// lanes a block apart hit different banks. The includer defines load1(c), column c of x, and calls stage, barrier,
// team_dots, barrier in turn. Workgroup memory: 6 KiB for x, 16 bytes an invocation for the sums.
#include "shared/dequantize.wgsl"

const TEAM: u32 = 32u;
const STAGE: u32 = 1024u;
#if FORMAT == f32
const QUADS: u32 = 1u;
#else
const QUADS: u32 = KV / 4u + 1u;
#endif

var<workgroup> staged: array<vec4<f32>, STAGE / KV * QUADS>;
var<workgroup> sums: array<vec4<f32>, WG>;

// Where the blocks and the scales of four matrix rows begin.
struct Rows {
  w: vec4<u32>,
  s: vec4<u32>,
}

// Columns begin .. begin + STAGE - 1 of x, zeros from `end` on.
fn stage(begin: u32, end: u32) {
  for (var quad = place; quad < STAGE / 4u; quad += WG) {
    let c = begin + 4u * quad;
    if (c >= end) {
      break;
    }
    var v = vec4<f32>(load1(c), 0.0, 0.0, 0.0);
    if (c + 1u < end) {
      v.y = load1(c + 1u);
    }
    if (c + 2u < end) {
      v.z = load1(c + 2u);
    }
    if (c + 3u < end) {
      v.w = load1(c + 3u);
    }
    staged[quad / (KV / 4u) * QUADS + quad % (KV / 4u)] = v;
#if FORMAT == f16
    // The last block's second half may lie beyond `end`, where no invocation comes.
    if (c + 4u >= end && quad % 2u == 0u) {
      staged[quad / 2u * QUADS + 1u] = vec4<f32>(0.0);
    }
#endif
  }
}

#if FORMAT == q4
fn word_dot(c: u32, a: vec4<f32>, b: vec4<f32>) -> f32 {
  return dot(codes_low(c), a) + dot(codes_high(c), b);
}

// A block of four rows with the staged x at `at`, as sums of 1 + code / 16.
fn block_dots(q0: vec4<u32>, q1: vec4<u32>, q2: vec4<u32>, q3: vec4<u32>, at: u32) -> vec4<f32> {
  var a = staged[at];
  var b = staged[at + 1u];
  var sum = vec4<f32>(word_dot(q0.x, a, b), word_dot(q1.x, a, b), word_dot(q2.x, a, b), word_dot(q3.x, a, b));
  a = staged[at + 2u];
  b = staged[at + 3u];
  sum += vec4<f32>(word_dot(q0.y, a, b), word_dot(q1.y, a, b), word_dot(q2.y, a, b), word_dot(q3.y, a, b));
  a = staged[at + 4u];
  b = staged[at + 5u];
  sum += vec4<f32>(word_dot(q0.z, a, b), word_dot(q1.z, a, b), word_dot(q2.z, a, b), word_dot(q3.z, a, b));
  a = staged[at + 6u];
  b = staged[at + 7u];
  return sum + vec4<f32>(word_dot(q0.w, a, b), word_dot(q1.w, a, b), word_dot(q2.w, a, b), word_dot(q3.w, a, b));
}

fn block_sum(at: u32) -> f32 {
  let a = (staged[at] + staged[at + 1u]) + (staged[at + 2u] + staged[at + 3u]);
  let b = (staged[at + 4u] + staged[at + 5u]) + (staged[at + 6u] + staged[at + 7u]);
  return dot(a + b, vec4<f32>(1.0));
}
#elif FORMAT == q8
fn block_dots(q0: vec4<u32>, q1: vec4<u32>, q2: vec4<u32>, q3: vec4<u32>, at: u32) -> vec4<f32> {
  return vec4<f32>(block_dot(q0, at), block_dot(q1, at), block_dot(q2, at), block_dot(q3, at));
}

fn block_dot(q: vec4<u32>, at: u32) -> f32 {
  return (dot(codes_low(q.x), staged[at]) + dot(codes_low(q.y), staged[at + 1u])) +
    (dot(codes_low(q.z), staged[at + 2u]) + dot(codes_low(q.w), staged[at + 3u]));
}

fn block_sum(at: u32) -> f32 {
  return dot((staged[at] + staged[at + 1u]) + (staged[at + 2u] + staged[at + 3u]), vec4<f32>(1.0));
}
#elif FORMAT == f16
fn block_dots(q0: vec4<u32>, q1: vec4<u32>, q2: vec4<u32>, q3: vec4<u32>, at: u32) -> vec4<f32> {
  return vec4<f32>(block_dot(q0, at), block_dot(q1, at), block_dot(q2, at), block_dot(q3, at));
}

fn block_dot(q: vec4<u32>, at: u32) -> f32 {
  return dot(vec4<f32>(unpack2x16float(q.x), unpack2x16float(q.y)), staged[at]) +
    dot(vec4<f32>(unpack2x16float(q.z), unpack2x16float(q.w)), staged[at + 1u]);
}
#else
fn block_dots(q0: vec4<u32>, q1: vec4<u32>, q2: vec4<u32>, q3: vec4<u32>, at: u32) -> vec4<f32> {
  let a = staged[at];
  return vec4<f32>(
    dot(bitcast<vec4<f32>>(q0), a), dot(bitcast<vec4<f32>>(q1), a), dot(bitcast<vec4<f32>>(q2), a),
    dot(bitcast<vec4<f32>>(q3), a)
  );
}
#endif

// This lane's part of the staged columns from `begin` on, of columns below `end`.
fn team_dots(rows: Rows, begin: u32, end: u32) -> vec4<f32> {
  var total = vec4<f32>(0.0);
  let first = begin / KV;
  let count = min(row_blocks(end) - first, STAGE / KV);
  for (var i = place % TEAM; i < count; i += TEAM) {
    let block = first + i;
    let q0 = w[rows.w.x + block];
    let q1 = w[rows.w.y + block];
    let q2 = w[rows.w.z + block];
    let q3 = w[rows.w.w + block];
    let sum = block_dots(q0, q1, q2, q3, i * QUADS);
#if FORMAT == q4 || FORMAT == q8
    let group = group_of(block * KV);
    let x_sum = block_sum(i * QUADS);
    let c0 = from_codes(s[rows.s.x + group]);
    let c1 = from_codes(s[rows.s.y + group]);
    let c2 = from_codes(s[rows.s.z + group]);
    let c3 = from_codes(s[rows.s.w + group]);
    total += vec4<f32>(c0.x, c1.x, c2.x, c3.x) * sum + vec4<f32>(c0.y, c1.y, c2.y, c3.y) * x_sum;
#else
    total += sum;
#endif
  }
  return total;
}

// This invocation's place in the workgroup: its team is place / TEAM.
var<private> place: u32;

#if REDUCE == subgroup
var<private> lane: u32;
var<private> lanes: u32;

// Subgroups hold stretches of invocations, in any order inside.
fn take_place(index: u32, subgroup_lane: u32, subgroup_size: u32) {
  lane = subgroup_lane;
  lanes = subgroup_size;
  place = subgroupMin(index) + subgroup_lane;
}

// Adds up `mine` over each team, for team_sum. A subgroup may hold less than a team, or several.
fn add_up(mine: vec4<f32>) {
  var v = mine;
  v += select(vec4<f32>(0.0), subgroupShuffleXor(v, 16u), vec4<bool>(lanes > 16u));
  v += select(vec4<f32>(0.0), subgroupShuffleXor(v, 8u), vec4<bool>(lanes > 8u));
  v += select(vec4<f32>(0.0), subgroupShuffleXor(v, 4u), vec4<bool>(lanes > 4u));
  v += subgroupShuffleXor(v, 2u);
  v += subgroupShuffleXor(v, 1u);
  if (lane % min(lanes, TEAM) == 0u) {
    sums[place] = v;
  }
  workgroupBarrier();
}

// The sum of row `row` of a team's four.
fn team_sum(team: u32, row: u32) -> f32 {
  var total = 0.0;
  for (var i = 0u; i < TEAM; i += min(lanes, TEAM)) {
    total += sums[team * TEAM + i][row];
  }
  return total;
}
#else
fn take_place(index: u32) {
  place = index;
}

fn add_up(mine: vec4<f32>) {
  sums[place] = mine;
  workgroupBarrier();
  for (var half = TEAM / 2u; half > 0u; half /= 2u) {
    if (place % TEAM < half) {
      sums[place] += sums[place + half];
    }
    workgroupBarrier();
  }
}

fn team_sum(team: u32, row: u32) -> f32 {
  return sums[team * TEAM][row];
}
#endif
