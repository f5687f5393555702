// A matrix row is a run of vec4<u32> blocks of KV values, in k order, lowest bits first. q4/q8: value = scale * code +
// bias, one u32 = pack2x16float(scale, bias) for `group` values. f16/f32: the last block of a row is padded with zeros.
#if FORMAT == q4
const KV: u32 = 32u;
#elif FORMAT == q8
const KV: u32 = 16u;
#elif FORMAT == f16
const KV: u32 = 8u;
#else
const KV: u32 = 4u;
#endif

fn row_blocks(k: u32) -> u32 {
  return (k + KV - 1u) / KV;
}

#if FORMAT == q4 || FORMAT == q8
// Where row `row` of a matrix starting at `s_first` has its scales.
fn scales_row(s_first: u32, row: u32, k: u32) -> u32 {
  return s_first + row * (k / p.group);
}

// The group that column c lies in: group sizes are powers of two.
fn group_of(c: u32) -> u32 {
  return c >> firstTrailingBit(p.group);
}
#else
fn scales_row(s_first: u32, row: u32, k: u32) -> u32 {
  return 0u;
}
#endif
