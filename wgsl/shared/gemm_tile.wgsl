// linear_gemm over tiles of x and W in workgroup memory, TK columns at a time, both in k order. Quads of a row are
// stored at (quad xor row), so that rows apart hit different banks. The next tile is loaded into registers while the
// current one is multiplied. The includer defines finish.
#include "shared/dequantize.wgsl"

const ROW_QUADS: u32 = TK / 4u;
#if ARITH == f16
alias Quad = vec4<f16>;
#else
alias Quad = vec4<f32>;
#endif

var<workgroup> x_tile: array<Quad, TM * ROW_QUADS>;
var<workgroup> w_tile: array<Quad, TN * ROW_QUADS>;
#if ARITH == f16 && FORMAT == q4 || ARITH == f16 && FORMAT == q8
// Of the tile's rows of W: scale and bias of their codes as stored here. One group holds all of a tile's columns.
var<workgroup> w_scales: array<vec2<f32>, TN>;
#endif

fn slot(row: u32, quad: u32) -> u32 {
  return row * ROW_QUADS + (quad ^ (row % ROW_QUADS));
}

#if ARITH == f16
// Beyond f16's range a value is its largest: finite, if wrong.
fn to_quad(v: vec4<f32>) -> Quad {
  return Quad(clamp(v, vec4<f32>(-65504.0), vec4<f32>(65504.0)));
}
#else
fn to_quad(v: vec4<f32>) -> Quad {
  return v;
}
#endif

// Columns c .. c + 3 of row r of x, zero outside.
fn x_quad(r: u32, c: u32) -> vec4<f32> {
  let at = p.x_offset + min(r, p.rows - 1u) * p.x_ld + c;
  let quad = vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
  let inside = vec4<u32>(c, c + 1u, c + 2u, c + 3u) < vec4<u32>(select(0u, p.k, r < p.rows));
  return select(vec4<f32>(0.0), quad, inside);
}

// Eight values of a row of W, as stored.
struct Eight {
#if FORMAT == q4
  words: u32,
  scale: u32,
#elif FORMAT == q8
  words: vec2<u32>,
  scale: u32,
#elif FORMAT == f16
  words: vec4<u32>,
#else
  low: vec4<u32>,
  high: vec4<u32>,
#endif
}

// Columns c .. c + 7 of row o; zero outside.
fn load_eight(o: u32, c: u32) -> Eight {
  var eight: Eight;
  if (o >= p.n || c >= p.k) {
    return eight;
  }
  let blocks = row_blocks(p.k);
  let at = p.w_0 + o * blocks + c / KV;
#if FORMAT == q4
  eight.words = w[at][c % KV / 8u];
#elif FORMAT == q8
  let block = w[at];
  eight.words = select(block.xy, block.zw, vec2<bool>(c % KV != 0u));
#elif FORMAT == f16
  eight.words = w[at];
#else
  eight.low = w[at];
  if (c + 4u < p.k) {
    eight.high = w[at + 1u];
  }
#endif
#if FORMAT == q4 || FORMAT == q8
  eight.scale = s[p.s_0 + o * row_groups(p.k) + group_of(c)];
#endif
  return eight;
}

fn store_eight(eight: Eight, row: u32, quad: u32) {
#if ARITH == f16 && FORMAT == q4 || ARITH == f16 && FORMAT == q8
  // Codes from their middle on are whole numbers that f16 holds exactly.
  let sb = unpack2x16float(eight.scale);
  let factor = CODE_STEP;
  let offset = -1.5 * CODE_STEP;
  if (quad == 0u) {
    w_scales[row] = vec2<f32>(sb.x, fma(0.5 * CODE_STEP, sb.x, sb.y));
  }
#elif FORMAT == q4 || FORMAT == q8
  let sb = from_codes(eight.scale);
  let factor = sb.x;
  let offset = sb.y;
#endif
#if FORMAT == q4
  let low = codes_low(eight.words) * factor + offset;
  let high = codes_high(eight.words) * factor + offset;
#elif FORMAT == q8
  let low = codes_low(eight.words.x) * factor + offset;
  let high = codes_low(eight.words.y) * factor + offset;
#elif FORMAT == f16
  let low = vec4<f32>(unpack2x16float(eight.words.x), unpack2x16float(eight.words.y));
  let high = vec4<f32>(unpack2x16float(eight.words.z), unpack2x16float(eight.words.w));
#else
  let low = bitcast<vec4<f32>>(eight.low);
  let high = bitcast<vec4<f32>>(eight.high);
#endif
  w_tile[slot(row, quad)] = to_quad(low);
  w_tile[slot(row, quad + 1u)] = to_quad(high);
}

fn mul_add(sum: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

fn mul_add4(sum: vec4<f32>, a: vec4<f32>, b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(mul_add(sum.x, a, b0), mul_add(sum.y, a, b1), mul_add(sum.z, a, b2), mul_add(sum.w, a, b3));
}

// None in the first round.
fn first_quad(k0: u32) -> u32 {
  return select(0u, ROW_QUADS, k0 == 0u);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let r0 = wid.y * TM;
  let o0 = wid.x * TN;
  // What this invocation loads: a quad of two rows of x, eight values of a row of W.
  let x_row = lid / 8u;
  let x_at = lid % 8u;
  let w_row = lid / 4u;
  let w_at = lid % 4u * 2u;
  // What it multiplies: rows my .., outputs mx .., 16 apart.
  let mx = lid % 16u;
  let my = lid / 16u;
  var sum0 = vec4<f32>(0.0);
  var sum1 = vec4<f32>(0.0);
  var sum2 = vec4<f32>(0.0);
  var sum3 = vec4<f32>(0.0);
  // The next tile is on its way while this one is multiplied; the first round multiplies nothing.
  for (var k0 = 0u; k0 < p.k + TK; k0 += TK) {
    let xa = x_quad(r0 + x_row, k0 + 4u * x_at);
    let xb = x_quad(r0 + x_row + 32u, k0 + 4u * x_at);
    let eight = load_eight(o0 + w_row, k0 + 4u * w_at);
#if ARITH == f16 && FORMAT == q4 || ARITH == f16 && FORMAT == q8
    // Of this tile alone: its scales come after, and what its codes were moved by times the sum of x.
    let done0 = sum0;
    let done1 = sum1;
    let done2 = sum2;
    let done3 = sum3;
    sum0 = vec4<f32>(0.0);
    sum1 = vec4<f32>(0.0);
    sum2 = vec4<f32>(0.0);
    sum3 = vec4<f32>(0.0);
    var x_sums = vec4<f32>(0.0);
#endif
    for (var quad = first_quad(k0); quad < ROW_QUADS; quad++) {
      let a0 = vec4<f32>(x_tile[slot(my, quad)]);
      let a1 = vec4<f32>(x_tile[slot(my + 16u, quad)]);
      let a2 = vec4<f32>(x_tile[slot(my + 32u, quad)]);
      let a3 = vec4<f32>(x_tile[slot(my + 48u, quad)]);
      let b0 = vec4<f32>(w_tile[slot(mx, quad)]);
      let b1 = vec4<f32>(w_tile[slot(mx + 16u, quad)]);
      let b2 = vec4<f32>(w_tile[slot(mx + 32u, quad)]);
      let b3 = vec4<f32>(w_tile[slot(mx + 48u, quad)]);
      sum0 = mul_add4(sum0, a0, b0, b1, b2, b3);
      sum1 = mul_add4(sum1, a1, b0, b1, b2, b3);
      sum2 = mul_add4(sum2, a2, b0, b1, b2, b3);
      sum3 = mul_add4(sum3, a3, b0, b1, b2, b3);
#if ARITH == f16 && FORMAT == q4 || ARITH == f16 && FORMAT == q8
      let one = vec4<f32>(1.0);
      x_sums += vec4<f32>(dot(a0, one), dot(a1, one), dot(a2, one), dot(a3, one));
#endif
    }
#if ARITH == f16 && FORMAT == q4 || ARITH == f16 && FORMAT == q8
    let c0 = w_scales[mx];
    let c1 = w_scales[mx + 16u];
    let c2 = w_scales[mx + 32u];
    let c3 = w_scales[mx + 48u];
    let scale = vec4<f32>(c0.x, c1.x, c2.x, c3.x);
    let bias = vec4<f32>(c0.y, c1.y, c2.y, c3.y);
    sum0 = done0 + (scale * sum0 + bias * x_sums.x);
    sum1 = done1 + (scale * sum1 + bias * x_sums.y);
    sum2 = done2 + (scale * sum2 + bias * x_sums.z);
    sum3 = done3 + (scale * sum3 + bias * x_sums.w);
#endif
    workgroupBarrier();
    x_tile[slot(x_row, x_at)] = to_quad(xa);
    x_tile[slot(x_row + 32u, x_at)] = to_quad(xb);
    store_eight(eight, w_row, w_at);
    workgroupBarrier();
  }
  var sums = array<vec4<f32>, 4>(sum0, sum1, sum2, sum3);
  for (var r = r0 + my; r < min(r0 + TM, p.rows); r += 16u) {
    for (var o = o0 + mx; o < min(o0 + TN, p.n); o += 16u) {
      finish(r, o, sums[(r - r0) / 16u][(o - o0) / 16u]);
    }
  }
}
