// Sums of one row of x with eight matrix rows, by one invocation and without a barrier: for adapters that run
// invocations as lanes of a processor, where a barrier costs more than a row. The eight share each load of x.
// The includer defines load1(c), column c of x.
#include "shared/eight.wgsl"

struct Sums {
  a: vec4<f32>,
  b: vec4<f32>,
}

// Of the group at work.
var<private> sum_a: vec4<f32>;
var<private> sum_b: vec4<f32>;
var<private> x_sum: f32;

// Column i of the words that begin at column c.
fn column(qa: vec4<u32>, qb: vec4<u32>, c: u32, i: u32) {
  let value = load1(c + i);
  sum_a = fma(values(qa, i), vec4<f32>(value), sum_a);
  sum_b = fma(values(qb, i), vec4<f32>(value), sum_b);
  x_sum += value;
}

// x[begin, end) with the rows, `rows` at column begin. q4, q8: begin and end are multiples of the group; f16: begin of 8.
fn row_dots(rows: Eight, begin: u32, end: u32) -> Sums {
  var at = rows;
  var total = Sums();
  var c = begin;
  while (c < end) {
#if FORMAT == q4 || FORMAT == q8
    let stop = c + p.group;
#else
    let stop = end;
#endif
    sum_a = vec4<f32>(0.0);
    sum_b = vec4<f32>(0.0);
    x_sum = 0.0;
    while (c < stop) {
      let qa = words(at.a);
      let qb = words(at.b);
      at.a += vec4<u32>(1u);
      at.b += vec4<u32>(1u);
#if FORMAT == q4 || FORMAT == q8
      column(qa, qb, c, 0u);
      column(qa, qb, c, 1u);
      column(qa, qb, c, 2u);
      column(qa, qb, c, 3u);
#endif
#if FORMAT == q4
      column(qa, qb, c, 4u);
      column(qa, qb, c, 5u);
      column(qa, qb, c, 6u);
      column(qa, qb, c, 7u);
#endif
#if FORMAT == q4 || FORMAT == q8
      c += WORD;
#else
      let first = c;
      for (var next = min(c + WORD, stop); c < next; c++) {
        column(qa, qb, first, c - first);
      }
#endif
    }
#if FORMAT == q4 || FORMAT == q8
    let sa = words(at.scale_a);
    let sb = words(at.scale_b);
    at.scale_a += vec4<u32>(1u);
    at.scale_b += vec4<u32>(1u);
    total.a += scales(sa) * sum_a + biases(sa) * x_sum;
    total.b += scales(sb) * sum_b + biases(sb) * x_sum;
#else
    total = Sums(sum_a, sum_b);
#endif
  }
  return total;
}
