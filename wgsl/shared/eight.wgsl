// Eight matrix rows side by side, a word of each at a time: for invocations that make eight outputs. Loops over the
// words and the columns of a word, with few places that read memory: on adapters that run on a processor every such
// place costs tens of milliseconds to compile, and a read as much as a dozen products.
#include "shared/weights.wgsl"

// Values in a u32 of a row, and the bits of one.
#if FORMAT == q4
const WORD: u32 = 8u;
const BITS: u32 = 4u;
#elif FORMAT == q8
const WORD: u32 = 4u;
const BITS: u32 = 8u;
#elif FORMAT == f16
const WORD: u32 = 2u;
const BITS: u32 = 16u;
#else
const WORD: u32 = 1u;
const BITS: u32 = 0u;
#endif

// Of eight rows: of their next words (in u32, as `s` is) and of their next scales.
struct Eight {
  a: vec4<u32>,
  b: vec4<u32>,
  scale_a: vec4<u32>,
  scale_b: vec4<u32>,
}

fn words(at: vec4<u32>) -> vec4<u32> {
  return vec4<u32>(s[at.x], s[at.y], s[at.z], s[at.w]);
}

// Column i of four words, as codes or values.
fn values(q: vec4<u32>, i: u32) -> vec4<f32> {
#if FORMAT == q4
  return vec4<f32>(vec4<i32>((q >> vec4<u32>(i * BITS)) & vec4<u32>(15u)));
#elif FORMAT == q8
  return vec4<f32>(vec4<i32>((q >> vec4<u32>(i * BITS)) & vec4<u32>(255u)));
#elif FORMAT == f16
  let h = q >> vec4<u32>(i * BITS);
  return vec4<f32>(unpack2x16float(h.x).x, unpack2x16float(h.y).x, unpack2x16float(h.z).x, unpack2x16float(h.w).x);
#else
  return bitcast<vec4<f32>>(q);
#endif
}

#if FORMAT == q4 || FORMAT == q8
// Scales and biases of four packed pairs.
fn scales(q: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(q.x).x, unpack2x16float(q.y).x, unpack2x16float(q.z).x, unpack2x16float(q.w).x);
}

fn biases(q: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(q.x).y, unpack2x16float(q.y).y, unpack2x16float(q.z).y, unpack2x16float(q.w).y);
}
#endif
