// rms: y = x / sqrt(mean(x^2) + eps) * w; layer: y = (x - mean) / sqrt(var + eps) * w + b, per row.
// x, y [rows, cols]; w and b [cols] at norm_w and norm_b in v. Flat; a workgroup has ROWS rows.
// The mean of a row far from 0 is off by some of its last bits. So layer sums d = x - mean as well as d^2: the mean of d is
// what the first mean missed, and var = mean(d^2) - mean(d)^2 cancels nothing.
// subgroup and workgroup: a row a workgroup, read in order by neighbouring invocations. row: a row an invocation, without
// a barrier. Workgroup memory: WG * 8 B.
#include "shared/index.wgsl"
#if REDUCE != none
#include "shared/reduce.wgsl"
#endif

fn write(row: u32, c: u32, x: f32, scale: f32) {
#if NORM == layer
  y[p.y_offset + row * p.y_ld + c] = x * scale * v[p.norm_w + c] + v[p.norm_b + c];
#else
  y[p.y_offset + row * p.y_ld + c] = x * scale * v[p.norm_w + c];
#endif
}

#if REDUCE == none
// Sums of sums of BLOCK columns: one long sum of equal values drifts by a rounding each.
const BLOCK: u32 = 128u;

fn x4(at: u32) -> vec4<f32> {
  return vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}

fn sum_of4(x: vec4<f32>) -> f32 {
  return (x.x + x.y) + (x.z + x.w);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let row = flat_workgroup(wid, p.grid_x) * ROWS + lid;
  if row >= p.rows {
    return;
  }
  let start = p.x_offset + row * p.x_ld;
  let whole = p.cols / 4u * 4u;
  var mean = 0.0;
#if NORM == layer
  var sum = vec4<f32>(0.0);
  for (var block = 0u; block < whole; block += BLOCK) {
    var part = vec4<f32>(0.0);
    for (var c = block; c < min(block + BLOCK, whole); c += 4u) {
      part += x4(start + c);
    }
    sum += part;
  }
  for (var c = whole; c < p.cols; c++) {
    sum.x += x[start + c];
  }
  mean = sum_of4(sum) / f32(p.cols);
#endif
  var offsets = vec4<f32>(0.0);
  var squares = vec4<f32>(0.0);
  for (var block = 0u; block < whole; block += BLOCK) {
    var part = vec4<f32>(0.0);
    var part_squares = vec4<f32>(0.0);
    for (var c = block; c < min(block + BLOCK, whole); c += 4u) {
      let d = x4(start + c) - mean;
      part += d;
      part_squares += d * d;
    }
    offsets += part;
    squares += part_squares;
  }
  for (var c = whole; c < p.cols; c++) {
    let d = x[start + c] - mean;
    offsets.x += d;
    squares.x += d * d;
  }
  var variance = sum_of4(squares) / f32(p.cols);
  var missed = 0.0;
#if NORM == layer
  missed = sum_of4(offsets) / f32(p.cols);
  variance = max(variance - missed * missed, 0.0);
#endif
  let scale = 1.0 / sqrt(variance + p.eps);
  for (var c = 0u; c < p.cols; c++) {
    write(row, c, x[start + c] - mean - missed, scale);
  }
}

#else
@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
#if REDUCE == subgroup
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) lanes: u32,
#endif
) {
#if REDUCE == workgroup
  const lane = 0u;
  const lanes = 1u;
#endif
  let row = flat_workgroup(wid, p.grid_x);
  if row >= p.rows {
    return;
  }
  let start = p.x_offset + row * p.x_ld;
  var sums = vec2<f32>(0.0);
  var mean = 0.0;
#if NORM == layer
  for (var c = lid; c < p.cols; c += WG) {
    sums.x += x[start + c];
  }
  mean = sum_all(sums, lid, lane, lanes).x / f32(p.cols);
  sums = vec2<f32>(0.0);
#endif
  for (var c = lid; c < p.cols; c += WG) {
    let d = x[start + c] - mean;
    sums += vec2<f32>(d, d * d);
  }
  let means = sum_all(sums, lid, lane, lanes) / f32(p.cols);
#if NORM == layer
  let missed = means.x;
  let variance = max(means.y - missed * missed, 0.0);
#else
  let missed = 0.0;
  let variance = means.y;
#endif
  let scale = 1.0 / sqrt(variance + p.eps);
  for (var c = lid; c < p.cols; c += WG) {
    write(row, c, x[start + c] - mean - missed, scale);
  }
}
#endif
