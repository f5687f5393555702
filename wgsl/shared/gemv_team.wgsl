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
  // Zeros to the end of the last block: padding must not meet what x has there.
  let padded = row_blocks(end) * KV;
  for (var c = begin + place; c < min(padded, begin + STAGE); c += WG) {
    let at = c - begin;
    var value = 0.0;
    if (c < end) {
      value = load1(c);
    }
    staged[at / KV * QUADS + at % KV / 4u][at % 4u] = value;
  }
}

// Of the block at work: sums with four rows, and of x itself for their biases.
var<private> block_sum: vec4<f32>;
var<private> x_sum: f32;

// The quad of x at `at` with the values of four rows.
fn quad(at: u32, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>) {
  let a = staged[at];
  block_sum += vec4<f32>(dot(v0, a), dot(v1, a), dot(v2, a), dot(v3, a));
  x_sum += (a.x + a.y) + (a.z + a.w);
}

// A word of each row with the x from `at` on.
fn word(at: u32, c: vec4<u32>) {
#if FORMAT == q4
  quad(at, codes_low(c.x), codes_low(c.y), codes_low(c.z), codes_low(c.w));
  quad(at + 1u, codes_high(c.x), codes_high(c.y), codes_high(c.z), codes_high(c.w));
#elif FORMAT == q8
  quad(at, codes_low(c.x), codes_low(c.y), codes_low(c.z), codes_low(c.w));
#endif
}

fn block(at: u32, q0: vec4<u32>, q1: vec4<u32>, q2: vec4<u32>, q3: vec4<u32>) {
#if FORMAT == q4 || FORMAT == q8
  word(at, vec4<u32>(q0.x, q1.x, q2.x, q3.x));
  word(at + KV / 16u, vec4<u32>(q0.y, q1.y, q2.y, q3.y));
  word(at + KV / 8u, vec4<u32>(q0.z, q1.z, q2.z, q3.z));
  word(at + KV / 16u * 3u, vec4<u32>(q0.w, q1.w, q2.w, q3.w));
#elif FORMAT == f16
  quad(at, halves(q0.xy), halves(q1.xy), halves(q2.xy), halves(q3.xy));
  quad(at + 1u, halves(q0.zw), halves(q1.zw), halves(q2.zw), halves(q3.zw));
#else
  quad(at, bitcast<vec4<f32>>(q0), bitcast<vec4<f32>>(q1), bitcast<vec4<f32>>(q2), bitcast<vec4<f32>>(q3));
#endif
}

fn halves(q: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(q.x), unpack2x16float(q.y));
}

// This lane's part of the staged columns from `begin` on, of columns below `end`.
fn team_dots(rows: Rows, begin: u32, end: u32) -> vec4<f32> {
  var total = vec4<f32>(0.0);
  let first = begin / KV;
  let count = min(row_blocks(end) - first, STAGE / KV);
  for (var i = place % TEAM; i < count; i += TEAM) {
    let at = rows.w + vec4<u32>(first + i);
    block_sum = vec4<f32>(0.0);
    x_sum = 0.0;
    block(i * QUADS, w[at.x], w[at.y], w[at.z], w[at.w]);
#if FORMAT == q4 || FORMAT == q8
    let scale = rows.s + vec4<u32>(group_of((first + i) * KV));
    let c0 = from_codes(s[scale.x]);
    let c1 = from_codes(s[scale.y]);
    let c2 = from_codes(s[scale.z]);
    let c3 = from_codes(s[scale.w]);
    total += vec4<f32>(c0.x, c1.x, c2.x, c3.x) * block_sum + vec4<f32>(c0.y, c1.y, c2.y, c3.y) * x_sum;
#else
    total += block_sum;
#endif
  }
  return total;
}

// This invocation's place in the workgroup: its team is place / TEAM.
var<private> place: u32;

// How many neighbours add up by shuffles: a power of two, a team at most.
#if REDUCE == subgroup
var<private> lane: u32;
var<private> lanes: u32;

// Subgroups hold stretches of invocations, in any order inside.
fn take_place(index: u32, subgroup_lane: u32, subgroup_size: u32) {
  lane = subgroup_lane;
  lanes = min(subgroup_size, TEAM);
  place = subgroupMin(index) + subgroup_lane;
}
#else
const lanes: u32 = 1u;

fn take_place(index: u32) {
  place = index;
}
#endif

// Lays out `mine` of all invocations for team_sum.
fn add_up(mine: vec4<f32>) {
#if REDUCE == subgroup
  var v = mine;
  v += select(vec4<f32>(0.0), subgroupShuffleXor(v, 16u), vec4<bool>(lanes > 16u));
  v += select(vec4<f32>(0.0), subgroupShuffleXor(v, 8u), vec4<bool>(lanes > 8u));
  v += select(vec4<f32>(0.0), subgroupShuffleXor(v, 4u), vec4<bool>(lanes > 4u));
  v += subgroupShuffleXor(v, 2u);
  v += subgroupShuffleXor(v, 1u);
  if (lane % lanes == 0u) {
    sums[place] = v;
  }
#else
  sums[place] = mine;
#endif
  workgroupBarrier();
}

// The sum of row `row` of a team's four.
fn team_sum(team: u32, row: u32) -> f32 {
  var total = 0.0;
  for (var i = team * TEAM; i < team * TEAM + TEAM; i += lanes) {
    total += sums[i][row];
  }
  return total;
}
