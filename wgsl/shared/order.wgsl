// Logits as u32 keys of the same order, so that nothing depends on how a driver compares NaN, infinities and subnormals.
// NaN and +infinity are BAD, above all others; both zeros are one key.
const BAD: u32 = 0xffffffffu;
const MINUS_INFINITY: u32 = 0x007fffffu;

fn key_of(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let size = bits & 0x7fffffffu;
  if size > 0x7f800000u || bits == 0x7f800000u {
    return BAD;
  }
  return select(~bits, bits | 0x80000000u, bits == size || size == 0u);
}

// The inverse, for keys that are not BAD.
fn value_of(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

// Of two (key, index) the larger key, or of equal ones the lower index.
fn better(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  return select(a, b, b.x > a.x || (b.x == a.x && b.y < a.y));
}
