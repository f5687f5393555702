// e^x, the logistic function and silu, the same on every driver: the built-in exp may lose |x| ulps, and drivers may
// assume that nothing overflows.

// e^x for x within -87..0: x = n ln 2 + r, a polynomial in r (Cephes expf), times 2^n.
fn exp_negative(x: f32) -> f32 {
  let n = round(x * 1.44269504);
  let r = fma(n, 2.12194440e-4, fma(n, -0.693359375, x));
  var y = 1.9875691500e-4;
  y = fma(y, r, 1.3981999507e-3);
  y = fma(y, r, 8.3334519073e-3);
  y = fma(y, r, 4.1665795894e-2);
  y = fma(y, r, 1.6666665459e-1);
  y = fma(y, r, 5.0000001201e-1);
  y = fma(y, r * r, r) + 1.0;
  return y * bitcast<f32>((i32(n) + 127) << 23);
}

// 1 / (1 + e^-x), in (0, 1): e is at most 1 and at least e^-87, still a normal number.
fn sigmoid(x: f32) -> f32 {
  let e = exp_negative(max(-abs(x), -87.0));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// Below -87 the true value is below 2e-36: 0.
fn silu(x: f32) -> f32 {
  return select(0.0, x * sigmoid(x), x > -87.0);
}
