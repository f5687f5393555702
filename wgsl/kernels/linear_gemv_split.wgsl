// One row of x against several long matrices, k cut into chunks: partials[partial_offset + c n + o] = the sum of matrix
// row o over the columns c chunk .. of its x. The covering convolutions of the spatial features, the projector's
// largest weights. All matrices have n rows and one format; chunk is a multiple of 128.
// Part i is two vec4 of p.parts: (first flat workgroup, k, w, s), (x_offset, chunks, partial_offset, 0). In a part a
// flat workgroup is row block + chunk * ceil(n / ROWS). Variants as in linear_gemv.
#include "shared/index.wgsl"
#if REDUCE == none
#include "shared/gemv_row.wgsl"
#else
#include "shared/gemv_team.wgsl"
#endif

var<private> x_row: u32;

fn load1(c: u32) -> f32 {
  return x[x_row + c];
}

#if REDUCE == none
fn load4(c: u32) -> vec4<f32> {
  let at = x_row + c;
  return vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}
#endif

// What a workgroup does: outputs first_row .. + ROWS - 1 over the columns begin .. end - 1 of its part.
struct Work {
  k: u32,
  w: u32,
  s: u32,
  first_row: u32,
  chunks: u32,
  chunk: u32,
  partials: u32,
}

fn work_of(flat: u32) -> Work {
  var part = 0u;
  while (part + 1u < p.count && flat >= p.parts[2u * part + 2u].x) {
    part++;
  }
  let a = p.parts[2u * part];
  let b = p.parts[2u * part + 1u];
  let row_blocks_n = (p.n + ROWS - 1u) / ROWS;
  let local = flat - a.x;
  x_row = b.x;
  return Work(a.y, a.z, a.w, local % row_blocks_n * ROWS, b.y, local / row_blocks_n, b.z);
}

fn rows_from(work: Work, o: u32) -> Rows {
  let row = min(vec4<u32>(o, o + 1u, o + 2u, o + 3u), vec4<u32>(p.n - 1u));
  let blocks = row_blocks(work.k);
  return Rows(
    work.w + row * blocks,
    vec4<u32>(
      scales_row(work.s, row.x, work.k), scales_row(work.s, row.y, work.k), scales_row(work.s, row.z, work.k),
      scales_row(work.s, row.w, work.k)
    )
  );
}

fn finish(work: Work, o: u32, sum: f32) {
  if (o < p.n) {
    partials[work.partials + work.chunk * p.n + o] = sum;
  }
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
#if REDUCE == workgroup
  take_place(lid);
#endif
#endif
  let work = work_of(flat_workgroup(wid, p.grid_x));
  // The fold leaves workgroups beyond the last chunk.
  if (work.chunk >= work.chunks) {
    return;
  }
  let begin = work.chunk * p.chunk;
  let end = min(work.k, begin + p.chunk);
#if REDUCE == none
  let o = work.first_row + lid * 4u;
  let sum = row_dots(rows_from(work, o), begin, end);
  finish(work, o, sum.x);
  finish(work, o + 1u, sum.y);
  finish(work, o + 2u, sum.z);
  finish(work, o + 3u, sum.w);
#else
  let rows = rows_from(work, work.first_row + place / TEAM * 4u);
  var sum = vec4<f32>(0.0);
  for (var at = begin; at < end; at += STAGE) {
    stage(at, end);
    workgroupBarrier();
    sum += team_dots(rows, at, end);
    workgroupBarrier();
  }
  add_up(sum);
  if (place < ROWS) {
    finish(work, work.first_row + place, team_sum(place / 4u, place % 4u));
  }
#endif
}
