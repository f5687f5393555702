// Sums of one row of x with eight matrix rows, by one invocation and without a barrier: for adapters that run
// invocations as lanes of a processor, where a barrier costs more than a row. The eight share each load of x.
// The includer defines load1(c), column c of x.
#include "shared/eight.wgsl"

struct Sums {
  a: vec4<f32>,
  b: vec4<f32>,
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
    var a = vec4<f32>(0.0);
    var b = vec4<f32>(0.0);
    var x_sum = 0.0;
    while (c < stop) {
      let qa = words(at.a);
      let qb = words(at.b);
      at.a += vec4<u32>(1u);
      at.b += vec4<u32>(1u);
      let first = c;
      for (var next = min(c + WORD, stop); c < next; c++) {
        let value = load1(c);
        a = fma(values(qa, c - first), vec4<f32>(value), a);
        b = fma(values(qb, c - first), vec4<f32>(value), b);
        x_sum += value;
      }
    }
#if FORMAT == q4 || FORMAT == q8
    let sa = words(at.scale_a);
    let sb = words(at.scale_b);
    at.scale_a += vec4<u32>(1u);
    at.scale_b += vec4<u32>(1u);
    total.a += scales(sa) * a + biases(sa) * x_sum;
    total.b += scales(sb) * b + biases(sb) * x_sum;
#else
    total = Sums(a, b);
#endif
  }
  return total;
}
