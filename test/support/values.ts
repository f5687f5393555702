import type { Random } from './random.ts';

/** Ways to fill a matrix: ordinary values and the ones that break kernels. */
export const fillings = {
  /** Standard normal. */
  normal: (random: Random, n: number) => random.normals(n),
  /** Magnitudes from 1e-3 to 1e3 side by side. */
  mixed: (random: Random, n: number) =>
    Float32Array.from({ length: n }, () => random.normal() * 10 ** (random.uniform() * 6 - 3)),
  /** Large, far from overflow in sums and squares. */
  large: (random: Random, n: number) => random.normals(n, 1e4),
  small: (random: Random, n: number) => random.normals(n, 1e-4),
  /** Every third stretch of 32 is zero, so whole quantisation groups are. */
  zeros: (random: Random, n: number) =>
    Float32Array.from({ length: n }, (_, i) => (Math.floor(i / 32) % 3 === 1 ? 0 : random.normal())),
  equal: (random: Random, n: number) => new Float32Array(n).fill(random.normal()),
  alternating: (random: Random, n: number) => {
    const size = 1 + random.uniform();
    return Float32Array.from({ length: n }, (_, i) => (i % 2 === 0 ? size : -size));
  },
  /** A few values of f32's subnormal range among ordinary ones. */
  subnormal: (random: Random, n: number) =>
    Float32Array.from({ length: n }, () =>
      random.below(4) === 0 ? random.normal() * 1e-40 : random.normal(),
    ),
} as const;

export type Filling = keyof typeof fillings;
export const fillingNames = Object.keys(fillings) as Filling[];

export function fill(filling: Filling, random: Random, n: number): Float32Array {
  return fillings[filling](random, n);
}
