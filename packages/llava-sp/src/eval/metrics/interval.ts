/** Wilson's score interval of 95 % for `right` (fractions too) of `n`. */
export function wilson(right: number, n: number): [number, number] {
  if (n === 0) return [0, 1];
  const z = 1.959963984540054;
  const share = right / n;
  const centre = share + (z * z) / (2 * n);
  const spread = z * Math.sqrt((share * (1 - share)) / n + (z * z) / (4 * n * n));
  const scale = 1 + (z * z) / n;
  return [Math.max(0, (centre - spread) / scale), Math.min(1, (centre + spread) / scale)];
}

/** The mean of points in 0..1, with its interval. */
export function meanOf(points: readonly number[]): { value: number; n: number; interval: [number, number] } {
  const n = points.length;
  const sum = points.reduce((total, point) => total + point, 0);
  return { value: n === 0 ? 0 : sum / n, n, interval: wilson(sum, n) };
}
