// y[r, o] = act(sum_k norm(x)[r, k] W[o, k] + bias[o]) + residual[r, o] for few rows of x, one row a workgroup (wid.z).
// Up to three matrices side by side: outputs below part_end_0 are rows of matrix 0, and so on. PAIR: y[r, o] =
// silu(gate_o . x) (up_o . x), gate and up matrices 0 and 1. NORM rms: x rsqrt(mean x^2 + eps) w; layer:
// (x - mean) rsqrt(var + eps) w + b.
// ROWS outputs a flat workgroup of WG invocations. subgroup, workgroup: teams of 32 for real GPUs, sums joined by
// shuffles or over workgroup memory (7 KiB at most). row: four outputs an invocation and no barrier, for adapters that
// run on a processor.
#include "shared/act.wgsl"
#include "shared/index.wgsl"
#if REDUCE == none
#include "shared/gemv_row.wgsl"
#else
#include "shared/gemv_team.wgsl"
#endif

const NONE: u32 = 0xffffffffu;

// Of the row of x at work: where it begins; what is subtracted and multiplied for NORM.
var<private> x_row: u32;
var<private> x_mean: f32;
var<private> x_scale: f32;
#if NORM == rms
// Sum of squares of the columns that this invocation loaded: the scale is applied to the finished sums.
var<private> squares: f32;
#endif

fn load1(c: u32) -> f32 {
  let value = x[x_row + c];
#if NORM == rms
  squares += value * value;
  return value * v[p.norm_w + c];
#elif NORM == layer
  return (value - x_mean) * x_scale * v[p.norm_w + c] + v[p.norm_b + c];
#else
  return value;
#endif
}

#if REDUCE == none
fn load4(c: u32) -> vec4<f32> {
  let at = x_row + c;
  let value = vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
#if NORM != none
  let n = p.norm_w + c;
  let weight = vec4<f32>(v[n], v[n + 1u], v[n + 2u], v[n + 3u]);
#endif
#if NORM == rms
  squares += dot(value, value);
  return value * weight;
#elif NORM == layer
  let m = p.norm_b + c;
  return (value - x_mean) * x_scale * weight + vec4<f32>(v[m], v[m + 1u], v[m + 2u], v[m + 3u]);
#else
  return value;
#endif
}
#endif

// Where the blocks, the scales and the bias of an output are.
struct Source {
  w: u32,
  s: u32,
  bias: u32,
}

fn source(o: u32) -> Source {
#if PAIR
  return Source(p.w_0 + o * row_blocks(p.k), scales_row(p.s_0, o, p.k), NONE);
#else
  var row = o;
  var at = vec3<u32>(p.w_0, p.s_0, p.bias_0);
  if (o >= p.part_end_1) {
    row = o - p.part_end_1;
    at = vec3<u32>(p.w_2, p.s_2, p.bias_2);
  } else if (o >= p.part_end_0) {
    row = o - p.part_end_0;
    at = vec3<u32>(p.w_1, p.s_1, p.bias_1);
  }
  return Source(at.x + row * row_blocks(p.k), scales_row(at.y, row, p.k), select(at.z + row, NONE, at.z == NONE));
#endif
}

// The matrix rows of outputs o .. o + 3; those beyond n repeat the last.
fn rows_from(o: u32) -> Rows {
  let last = p.n - 1u;
  let a = source(min(o, last));
  let b = source(min(o + 1u, last));
  let c = source(min(o + 2u, last));
  let d = source(min(o + 3u, last));
  return Rows(vec4<u32>(a.w, b.w, c.w, d.w), vec4<u32>(a.s, b.s, c.s, d.s));
}

#if PAIR
fn to_up(gate: Rows) -> Rows {
  return Rows(gate.w - p.w_0 + p.w_1, gate.s - p.s_0 + p.s_1);
}
#endif

fn finish(o: u32, r: u32, sum: f32, up: f32) {
  if (o >= p.n) {
    return;
  }
  let to = p.y_offset + r * p.y_ld + o;
#if PAIR
  y[to] = silu(sum) * up;
#else
  let bias = source(o).bias;
  var value = sum;
  if (bias != NONE) {
    value += v[bias];
  }
  value = activate(value);
  if (p.residual_mode == 1u) {
    value += residual[p.residual_offset + r * p.residual_ld + o];
  } else if (p.residual_mode == 2u) {
    value += y[to];
  }
  y[to] = value;
#endif
}

#if REDUCE == none
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let o = (flat_workgroup(wid, p.grid_x) * WG + lid) * (ROWS / WG);
  if (o >= p.n) {
    return;
  }
  let r = wid.z;
  x_row = p.x_offset + r * p.x_ld;
#if NORM == layer
  for (var c = 0u; c < p.k; c++) {
    x_mean += x[x_row + c];
  }
  x_mean /= f32(p.k);
  var variance = 0.0;
  for (var c = 0u; c < p.k; c++) {
    let off = x[x_row + c] - x_mean;
    variance += off * off;
  }
  x_scale = inverseSqrt(variance / f32(p.k) + p.eps);
#endif
  let rows = rows_from(o);
  var sum = row_dots(rows, 0u, p.k);
  var up = vec4<f32>(0.0);
#if PAIR
#if NORM == rms
  squares = 0.0;
#endif
  up = row_dots(to_up(rows), 0u, p.k);
#endif
#if NORM == rms
  x_scale = inverseSqrt(squares / f32(p.k) + p.eps);
  sum *= x_scale;
  up *= x_scale;
#endif
  finish(o, r, sum.x, up.x);
  finish(o + 1u, r, sum.y, up.y);
  finish(o + 2u, r, sum.z, up.z);
  finish(o + 3u, r, sum.w, up.w);
}
#else
// The sum of `mine` over the workgroup, for all of it.
fn add_all(mine: f32) -> f32 {
  add_up(vec4<f32>(mine));
  var total = 0.0;
  for (var team = 0u; team < WG / TEAM; team++) {
    total += team_sum(team, 0u);
  }
  workgroupBarrier();
  return total;
}

@compute @workgroup_size(WG)
#if REDUCE == subgroup
fn main(
  @builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32,
  @builtin(subgroup_invocation_id) subgroup_lane: u32, @builtin(subgroup_size) subgroup_size: u32
) {
  take_place(lid, subgroup_lane, subgroup_size);
#else
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  take_place(lid);
#endif
  let r = wid.z;
  let first = flat_workgroup(wid, p.grid_x) * ROWS;
  x_row = p.x_offset + r * p.x_ld;
#if NORM == layer
  var part = 0.0;
  for (var c = place; c < p.k; c += WG) {
    part += x[x_row + c];
  }
  x_mean = add_all(part) / f32(p.k);
  part = 0.0;
  for (var c = place; c < p.k; c += WG) {
    let off = x[x_row + c] - x_mean;
    part += off * off;
  }
  x_scale = inverseSqrt(add_all(part) / f32(p.k) + p.eps);
#endif
  let rows = rows_from(first + place / TEAM * 4u);
  var sum = vec4<f32>(0.0);
#if PAIR
  let up_rows = to_up(rows);
  var up_sum = vec4<f32>(0.0);
#endif
  for (var begin = 0u; begin < p.k; begin += STAGE) {
    stage(begin, p.k);
    workgroupBarrier();
    sum += team_dots(rows, begin, p.k);
#if PAIR
    up_sum += team_dots(up_rows, begin, p.k);
#endif
    workgroupBarrier();
  }
  var scale = 1.0;
#if NORM == rms
  scale = inverseSqrt(add_all(squares) / f32(p.k) + p.eps);
#endif
  // Each of the first ROWS invocations finishes an output: row place % 4 of team place / 4.
  var up = 0.0;
#if PAIR
  add_up(up_sum);
  if (place < ROWS) {
    up = team_sum(place / 4u, place % 4u) * scale;
  }
  workgroupBarrier();
#endif
  add_up(sum);
  if (place < ROWS) {
    finish(first + place, r, team_sum(place / 4u, place % 4u) * scale, up);
  }
}
#endif
