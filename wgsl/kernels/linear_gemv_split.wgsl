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

fn row_from(o: u32) -> vec4<u32> {
  return min(vec4<u32>(o, o + 1u, o + 2u, o + 3u), vec4<u32>(p.n - 1u));
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
  let o = work.first_row + lid * (ROWS / WG);
  let a = row_from(o);
  let b = row_from(o + 4u);
  let first_word = work.w * 4u + begin / WORD;
  let row_words = row_blocks(work.k) * 4u;
  let first_scale = work.s + row_groups(begin);
  let groups = row_groups(work.k);
  let sum = row_dots(
    Eight(first_word + a * row_words, first_word + b * row_words, first_scale + a * groups, first_scale + b * groups),
    begin, end
  );
  var sums = array<vec4<f32>, 2>(sum.a, sum.b);
  for (var i = o; i < min(o + 8u, p.n); i++) {
    let at = i - o;
    partials[work.partials + work.chunk * p.n + i] = sums[at / 4u][at % 4u];
  }
#else
  let row = row_from(work.first_row + place / TEAM * 4u);
  let rows = Rows(work.w + row * row_blocks(work.k), work.s + row * row_groups(work.k));
  var sum = vec4<f32>(0.0);
  for (var at = begin; at < end; at += STAGE) {
    stage(at, end);
    workgroupBarrier();
    sum += team_dots(rows, at, end);
    workgroupBarrier();
  }
  add_up(sum);
  let o = work.first_row + place;
  if (place < ROWS && o < p.n) {
    partials[work.partials + work.chunk * p.n + o] = team_sum(place / 4u, place % 4u);
  }
#endif
}
