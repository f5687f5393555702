/** Weights made at random in their stored form. */
import type { StoredDType, StoredWeight, WeightFormat } from '../../../backend/index.ts';
import type { WeightRef } from '../../../ops/index.ts';

/** About the standard deviation of {@link randomMatrix}. */
export const WEIGHT = 0.6;

/** `n x k` values between about -2 and 2; `group` for q4 and q8. */
export function randomMatrix(
  ref: WeightRef,
  format: WeightFormat,
  group: number,
  uniform: () => number,
): StoredWeight {
  const { n, k } = ref;
  if (format === 'f32') {
    const values = Float32Array.from({ length: n * k }, () => uniform() * 2 - 1);
    return stored(ref, format, 'F32', 0, bytesOf(values));
  }
  if (format === 'f16') return stored(ref, format, 'F16', 0, halves(n * k, 13, 2, uniform));
  const codes = Uint8Array.from({ length: (n * k) / (format === 'q4' ? 2 : 1) }, () => uniform() * 256);
  // Half an LSB apart from zero at most, so that both ends of the codes matter: scale * code - about half its range.
  const scales = halves((n * k) / group, format === 'q4' ? 11 : 7, 1, uniform);
  const biases = halves((n * k) / group, 14, 1, uniform);
  const [scaleWords, biasWords] = [scales, biases].map((bytes) => new Uint16Array(bytes.buffer));
  scaleWords.forEach((word, i) => (biasWords[i] = (biasWords[i] & 0x7fff) | (~word & 0x8000)));
  return stored(ref, format, 'F16', group, codes, scales, biases);
}

export function storedVector(ref: WeightRef, values: Float32Array): StoredWeight {
  return stored(ref, 'f32', 'F32', 0, bytesOf(values));
}

/** Half floats of any sign in `[2^(exponent - 15), 2^(exponent - 15 + binades))`. */
function halves(count: number, exponent: number, binades: number, uniform: () => number): Uint8Array {
  const words = Uint16Array.from({ length: count }, () => {
    const sign = uniform() < 0.5 ? 0x8000 : 0;
    return sign | ((exponent + Math.floor(uniform() * binades)) << 10) | Math.floor(uniform() * 1024);
  });
  return bytesOf(words);
}

/** A weight whose bytes are at hand. */
export function stored(
  ref: WeightRef,
  format: WeightFormat,
  dtype: StoredDType,
  group: number,
  values: Uint8Array,
  scales?: Uint8Array,
  biases?: Uint8Array,
): StoredWeight {
  const rows = (bytes: Uint8Array, begin: number, end: number): Uint8Array => {
    const size = bytes.length / ref.n;
    return bytes.slice(begin * size, end * size);
  };
  return {
    ref,
    format,
    dtype,
    group,
    readRows: async (begin, end) => ({
      values: rows(values, begin, end),
      scales: scales && rows(scales, begin, end),
      biases: biases && rows(biases, begin, end),
    }),
  };
}

function bytesOf(array: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
