// Scales and biases are stored in units of p.unit, a power of two that brings those of a matrix into f16's range.
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
// The group that column c lies in: group sizes are powers of two.
fn group_of(c: u32) -> u32 {
  return c >> firstTrailingBit(p.group);
}

// Scales of a row.
fn row_groups(k: u32) -> u32 {
  return group_of(k);
}
#else
fn row_groups(k: u32) -> u32 {
  return 0u;
}
#endif
