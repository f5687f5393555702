// Below every score, and still finite: a driver may assume that there are no infinities.
const LOWEST: f32 = -3.0e38;

// e^x for x <= 0; below e^-100 it is 0 in f32.
fn exp_below(x: f32) -> f32 {
  return exp(max(x, -100.0));
}

fn exp_below4(x: vec4<f32>) -> vec4<f32> {
  return exp(max(x, vec4<f32>(-100.0)));
}

fn max_of4(x: vec4<f32>) -> f32 {
  return max(max(x.x, x.y), max(x.z, x.w));
}

fn sum_of4(x: vec4<f32>) -> f32 {
  return (x.x + x.y) + (x.z + x.w);
}
