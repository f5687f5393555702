/** Columns whose rounding errors are made up for together, as wasm/convert/quantise.c has it. */
export const BLOCK = 128;

/** Of what is added to the diagonal: inputs that calibration never saw still count a little. */
const DAMPING = 0.01;

/** Second moments of the inputs of a product, block by block along its columns. */
export interface Moments {
  /** Names the inputs: several products may share them. */
  readonly key: string;
  /** `sum x x^T` of each block of {@link BLOCK} columns, `[n, n]`; blocks are `BLOCK * BLOCK` apart, the last may be smaller. */
  readonly values: Float32Array;
}

/** Floats that the moments of `cols` inputs take. */
export function momentsSize(cols: number): number {
  const rest = cols % BLOCK;
  return (cols - rest) * BLOCK + rest * rest;
}

/**
 * What a column's rounding error adds to the columns behind it in its block, in the layout of {@link Moments}: for the
 * inverse of the damped moments, `U^T U` with U upper triangular, the rows of U over its diagonal.
 */
export function feedbackFactors(moments: Float32Array, cols: number): Float32Array {
  const factors = new Float32Array(moments.length);
  for (let start = 0; start < cols; start += BLOCK) {
    const n = Math.min(BLOCK, cols - start);
    const at = start * BLOCK;
    factors.set(blockFactors(moments.subarray(at, at + n * n), n), at);
  }
  return factors;
}

function blockFactors(moments: Float32Array, n: number): Float64Array {
  let mean = 0;
  for (let i = 0; i < n; i++) mean += moments[i * n + i] / n;
  // Inputs that are always zero: nothing to make up for.
  if (!(mean > 0)) return new Float64Array(n * n);
  // The moments are V V^T with V upper triangular, so that U is the inverse of V.
  const v = new Float64Array(n * n);
  for (let j = n - 1; j >= 0; j--) {
    for (let i = j; i >= 0; i--) {
      let sum = moments[i * n + j] + (i === j ? DAMPING * mean : 0);
      for (let k = j + 1; k < n; k++) sum -= v[i * n + k] * v[j * n + k];
      // In exact arithmetic at least the damping: floats of the moments may take a little of it.
      v[i * n + j] = i === j ? Math.sqrt(Math.max(sum, 0.1 * DAMPING * mean)) : sum / v[j * n + j];
    }
  }
  const u = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    u[j * n + j] = 1 / v[j * n + j];
    for (let i = j - 1; i >= 0; i--) {
      let sum = 0;
      for (let k = i + 1; k <= j; k++) sum += v[i * n + k] * u[k * n + j];
      u[i * n + j] = -sum / v[i * n + i];
    }
  }
  for (let i = 0; i < n; i++) for (let j = n - 1; j >= i; j--) u[i * n + j] /= u[i * n + i];
  return u;
}
