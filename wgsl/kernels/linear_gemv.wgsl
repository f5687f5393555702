// y[r, o] = act(sum_k norm(x)[r, k] W[o, k] + bias[o]) + residual[r, o] for few rows of x, one row a workgroup (wid.z).
// Up to three matrices side by side: outputs below part_end_0 are rows of matrix 0, and so on. PAIR: y[r, o] =
// silu(gate_o . x) (up_o . x), gate and up matrices 0 and 1. NORM rms: x rsqrt(mean x^2 + eps) w; layer:
// (x - mean) rsqrt(var + eps) w + b.
// ROWS outputs a flat workgroup of WG invocations. subgroup, workgroup: teams of 32 for real GPUs, sums joined by
// shuffles or over workgroup memory (7 KiB at most). row: eight outputs an invocation and no barrier, for adapters that
// run on a processor.
#include "shared/act.wgsl"
#include "shared/index.wgsl"
#if REDUCE == none
#include "shared/gemv_row.wgsl"
#else
#include "shared/gemv_team.wgsl"
#endif

const NONE: u32 = 0xffffffffu;

// Of the row of x at work: where it begins. For NORM layer its mean, as its first value and the rest, for a mean far
// from zero rounds away what the values differ by; and the factor.
var<private> x_row: u32;
#if NORM == layer
var<private> x_first: f32;
var<private> x_rest: f32;
var<private> x_scale: f32;
#endif
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
  return (value - x_first - x_rest) * x_scale * v[p.norm_w + c] + v[p.norm_b + c];
#else
  return value;
#endif
}

// Which matrix row outputs are, and where the blocks, the scales and the bias of their matrices begin.
struct Source {
  row: vec4<u32>,
  w: vec4<u32>,
  s: vec4<u32>,
  bias: vec4<u32>,
}

// Of outputs o .. o + 3; those beyond n repeat the last.
fn source(o: u32) -> Source {
  let row = min(vec4<u32>(o, o + 1u, o + 2u, o + 3u), vec4<u32>(p.n - 1u));
#if PAIR
  return Source(row, vec4<u32>(p.w_0), vec4<u32>(p.s_0), vec4<u32>(NONE));
#else
  let second = row >= vec4<u32>(p.part_end_0);
  let third = row >= vec4<u32>(p.part_end_1);
  return Source(
    row - pick(0u, p.part_end_0, p.part_end_1, second, third), pick(p.w_0, p.w_1, p.w_2, second, third),
    pick(p.s_0, p.s_1, p.s_2, second, third), pick(p.bias_0, p.bias_1, p.bias_2, second, third)
  );
#endif
}

fn pick(a: u32, b: u32, c: u32, second: vec4<bool>, third: vec4<bool>) -> vec4<u32> {
  return select(select(vec4<u32>(a), vec4<u32>(b), second), vec4<u32>(c), third);
}

fn finish(o: u32, r: u32, sum: f32, up: f32) {
  let to = p.y_offset + r * p.y_ld + o;
#if PAIR
  y[to] = silu(sum * p.unit) * up * p.unit;
#else
  let at = source(o);
  var value = sum * p.unit;
  if (at.bias.x != NONE) {
    value += v[at.bias.x + at.row.x];
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
fn eight_from(o: u32) -> Eight {
  let a = source(o);
  let b = source(o + 4u);
  let blocks = row_blocks(p.k);
  let groups = row_groups(p.k);
  return Eight(
    (a.w + a.row * blocks) * 4u, (b.w + b.row * blocks) * 4u, a.s + a.row * groups, b.s + b.row * groups
  );
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let o = (flat_workgroup(wid, p.grid_x) * WG + lid) * (ROWS / WG);
  if (o >= p.n) {
    return;
  }
  let r = wid.z;
  x_row = p.x_offset + r * p.x_ld;
#if NORM == layer
  x_first = x[x_row];
  for (var c = 0u; c < p.k; c++) {
    x_rest += x[x_row + c] - x_first;
  }
  x_rest /= f32(p.k);
  var variance = 0.0;
  for (var c = 0u; c < p.k; c++) {
    let off = x[x_row + c] - x_first - x_rest;
    variance += off * off;
  }
  x_scale = inverseSqrt(variance / f32(p.k) + p.eps);
#endif
  var rows = eight_from(o);
#if PAIR
  // Gate, then up: bounds that no compiler unrolls by, for a second copy would take as long again to compile.
  var gate = Sums();
  var sum = Sums();
  for (var matrix = o; matrix < o + 2u; matrix++) {
    gate = sum;
#if NORM == rms
    squares = 0.0;
#endif
    sum = row_dots(rows, 0u, p.k);
    let step = vec4<u32>(p.w_1 - p.w_0) * 4u;
    rows = Eight(rows.a + step, rows.b + step, rows.scale_a - p.s_0 + p.s_1, rows.scale_b - p.s_0 + p.s_1);
  }
  var sums = array<vec4<f32>, 2>(gate.a, gate.b);
  var ups = array<vec4<f32>, 2>(sum.a, sum.b);
#else
  let sum = row_dots(rows, 0u, p.k);
  var sums = array<vec4<f32>, 2>(sum.a, sum.b);
#endif
  var scale = 1.0;
#if NORM == rms
  scale = inverseSqrt(squares / f32(p.k) + p.eps);
#endif
  for (var i = o; i < min(o + 8u, p.n); i++) {
    let at = i - o;
#if PAIR
    finish(i, r, sums[at / 4u][at % 4u] * scale, ups[at / 4u][at % 4u] * scale);
#else
    finish(i, r, sums[at / 4u][at % 4u] * scale, 0.0);
#endif
  }
}
#else
fn rows_from(o: u32) -> Rows {
  let at = source(o);
  return Rows(at.w + at.row * row_blocks(p.k), at.s + at.row * row_groups(p.k));
}

#if PAIR
fn to_up(gate: Rows) -> Rows {
  return Rows(gate.w - p.w_0 + p.w_1, gate.s - p.s_0 + p.s_1);
}
#endif

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
  x_first = x[x_row];
  var part = 0.0;
  for (var c = place; c < p.k; c += WG) {
    part += x[x_row + c] - x_first;
  }
  x_rest = add_all(part) / f32(p.k);
  part = 0.0;
  for (var c = place; c < p.k; c += WG) {
    let off = x[x_row + c] - x_first - x_rest;
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
  if (place < ROWS && first + place < p.n) {
    finish(first + place, r, team_sum(place / 4u, place % 4u) * scale, up);
  }
}
#endif
