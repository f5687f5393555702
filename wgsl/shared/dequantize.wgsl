// Values of a matrix out of its u32 words. Codes become f32 through the mantissa: 1 + code / 16 (or / 256) is one shift
// and one and-or, where a conversion from integer runs at a quarter of the rate on many GPUs or worse.
#include "shared/weights.wgsl"

#if FORMAT == q4
const WORD_VALUES: u32 = 8u;
const CODE_STEP: f32 = 16.0;

// The low four codes of a word.
fn codes_low(c: u32) -> vec4<f32> {
  let bits = (vec4<u32>(c) << vec4<u32>(19u, 15u, 11u, 7u)) & vec4<u32>(0x00780000u);
  return bitcast<vec4<f32>>(bits | vec4<u32>(0x3f800000u));
}

// The high four codes of a word.
fn codes_high(c: u32) -> vec4<f32> {
  return codes_low(c >> 16u);
}
#elif FORMAT == q8
const WORD_VALUES: u32 = 4u;
const CODE_STEP: f32 = 256.0;

fn codes_low(c: u32) -> vec4<f32> {
  let bits = vec4<u32>(c << 15u, c << 7u, c >> 1u, c >> 9u) & vec4<u32>(0x007f8000u);
  return bitcast<vec4<f32>>(bits | vec4<u32>(0x3f800000u));
}
#elif FORMAT == f16
const WORD_VALUES: u32 = 2u;
#else
const WORD_VALUES: u32 = 1u;
#endif

// From 1 + code / CODE_STEP to values: x * factor + offset for the packed (scale, bias).
#if FORMAT == q4 || FORMAT == q8
fn from_codes(packed: u32) -> vec2<f32> {
  let sb = unpack2x16float(packed);
  return vec2<f32>(sb.x * CODE_STEP, sb.y - sb.x * CODE_STEP);
}
#endif
