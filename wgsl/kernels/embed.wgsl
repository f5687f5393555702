// y[r, c] = table[ids[r], c]: rows of the embedding by token id, for the ids that lie in this tile of the table.
// y [rows, k] f32, ids [rows] u32; the tile holds the table's rows first .. last - 1, its first row is at w_0 / s_0.
// One invocation an element of y.
#include "shared/weights.wgsl"
#include "shared/index.wgsl"

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let i = flat_workgroup(wid, p.grid_x) * WG + lid;
  let r = i / p.k;
  let c = i % p.k;
  if (r >= p.rows) {
    return;
  }
  let id = ids[p.ids_offset + r];
  if (id < p.first || id >= p.last) {
    return;
  }
  let row = id - p.first;
  let block = w[p.w_0 + row * row_blocks(p.k) + c / KV];
  let at = c % KV;
#if FORMAT == q4
  let code = f32((block[at / 8u] >> (4u * (at % 8u))) & 15u);
#elif FORMAT == q8
  let code = f32((block[at / 4u] >> (8u * (at % 4u))) & 255u);
#endif
#if FORMAT == q4 || FORMAT == q8
  let sb = unpack2x16float(s[p.s_0 + row * row_groups(p.k) + group_of(c)]);
  let value = sb.x * code + sb.y;
#elif FORMAT == f16
  let value = unpack2x16float(block[at / 2u])[at % 2u];
#else
  let value = bitcast<f32>(block[at]);
#endif
  y[p.y_offset + r * p.y_ld + c] = value * p.unit;
}
