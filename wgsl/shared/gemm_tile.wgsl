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
#if FORMAT == q4
  let sb = from_codes(eight.scale);
  let low = codes_low(eight.words) * sb.x + sb.y;
  let high = codes_high(eight.words) * sb.x + sb.y;
#elif FORMAT == q8
  let sb = from_codes(eight.scale);
  let low = codes_low(eight.words.x) * sb.x + sb.y;
  let high = codes_low(eight.words.y) * sb.x + sb.y;
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

#if ARITH == f16
fn total(run: vec4<f16>) -> f32 {
  let t = vec4<f32>(run);
  return (t.x + t.y) + (t.z + t.w);
}
#endif

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
#if ARITH == f16
    var run00 = Quad(0.0);
    var run01 = Quad(0.0);
    var run02 = Quad(0.0);
    var run03 = Quad(0.0);
    var run10 = Quad(0.0);
    var run11 = Quad(0.0);
    var run12 = Quad(0.0);
    var run13 = Quad(0.0);
    var run20 = Quad(0.0);
    var run21 = Quad(0.0);
    var run22 = Quad(0.0);
    var run23 = Quad(0.0);
    var run30 = Quad(0.0);
    var run31 = Quad(0.0);
    var run32 = Quad(0.0);
    var run33 = Quad(0.0);
#endif
    for (var quad = first_quad(k0); quad < ROW_QUADS; quad++) {
      let a0 = x_tile[slot(my, quad)];
      let a1 = x_tile[slot(my + 16u, quad)];
      let a2 = x_tile[slot(my + 32u, quad)];
      let a3 = x_tile[slot(my + 48u, quad)];
      let b0 = w_tile[slot(mx, quad)];
      let b1 = w_tile[slot(mx + 16u, quad)];
      let b2 = w_tile[slot(mx + 32u, quad)];
      let b3 = w_tile[slot(mx + 48u, quad)];
#if ARITH == f16
      run00 = fma(a0, b0, run00);
      run01 = fma(a0, b1, run01);
      run02 = fma(a0, b2, run02);
      run03 = fma(a0, b3, run03);
      run10 = fma(a1, b0, run10);
      run11 = fma(a1, b1, run11);
      run12 = fma(a1, b2, run12);
      run13 = fma(a1, b3, run13);
      run20 = fma(a2, b0, run20);
      run21 = fma(a2, b1, run21);
      run22 = fma(a2, b2, run22);
      run23 = fma(a2, b3, run23);
      run30 = fma(a3, b0, run30);
      run31 = fma(a3, b1, run31);
      run32 = fma(a3, b2, run32);
      run33 = fma(a3, b3, run33);
#else
      sum0 = vec4<f32>(mul_add(sum0.x, a0, b0), mul_add(sum0.y, a0, b1), mul_add(sum0.z, a0, b2), mul_add(sum0.w, a0, b3));
      sum1 = vec4<f32>(mul_add(sum1.x, a1, b0), mul_add(sum1.y, a1, b1), mul_add(sum1.z, a1, b2), mul_add(sum1.w, a1, b3));
      sum2 = vec4<f32>(mul_add(sum2.x, a2, b0), mul_add(sum2.y, a2, b1), mul_add(sum2.z, a2, b2), mul_add(sum2.w, a2, b3));
      sum3 = vec4<f32>(mul_add(sum3.x, a3, b0), mul_add(sum3.y, a3, b1), mul_add(sum3.z, a3, b2), mul_add(sum3.w, a3, b3));
#endif
    }
#if ARITH == f16
    sum0 += vec4<f32>(total(run00), total(run01), total(run02), total(run03));
    sum1 += vec4<f32>(total(run10), total(run11), total(run12), total(run13));
    sum2 += vec4<f32>(total(run20), total(run21), total(run22), total(run23));
    sum3 += vec4<f32>(total(run30), total(run31), total(run32), total(run33));
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
