// activate(x) for the option ACT. NaN stays NaN: each form multiplies by x itself.
#include "shared/silu.wgsl"

fn activate(x: f32) -> f32 {
#if ACT == gelu
  // x Phi(x), by erfc(z) = exp(-z^2) P(1 / (1 + 0.45 z)) for z = |x| / sqrt 2 (a minimax fit, 1.8e-7 relative in f32):
  // Phi(-|x|) = erfc / 2 keeps its relative accuracy in the tail.
  let size = min(abs(x), 13.0);
  let t = 1.0 / fma(size, 0.318198052, 1.0);
  var y = -0.03369048237800598;
  y = fma(y, t, 0.14965663850307465);
  y = fma(y, t, -0.20657476782798767);
  y = fma(y, t, 0.021254219114780426);
  y = fma(y, t, 0.07406274229288101);
  y = fma(y, t, 0.07098861038684845);
  y = fma(y, t, 0.19105342030525208);
  y = fma(y, t, 0.2251574695110321);
  y = fma(y, t, 0.2542223632335663);
  y = fma(y, t, 0.25386977195739746);
  let tail = 0.5 * y * t * exp_negative(-0.5 * size * size);
  return x * select(tail, 1.0 - tail, x >= 0.0);
#elif ACT == quick_gelu
  return x * sigmoid(1.702 * x);
#elif ACT == gelu_tanh
  // 0.5 (1 + tanh u) = sigmoid(2 u), 2 u = 2 sqrt(2 / pi) (x + 0.044715 x^3), flat long before |x| = 30.
  let c = clamp(x, -30.0, 30.0);
  return x * sigmoid(c * fma(c * c, 0.07135481282, 1.5957691216));
#elif ACT == silu
  return silu(x);
#elif ACT == relu
  return x * select(0.0, 1.0, x > 0.0);
#else
  return x;
#endif
}
