import type { StoredWeight, WeightFormat } from '../../packages/core/src/backend/index.ts';
import type { WeightRef } from '../../packages/core/src/ops/index.ts';
import { Random } from '../support/random.ts';
import { toF16 } from '../support/weights.ts';

/** Values that share a scale and a bias. */
export const GROUP = 64;

/** Random words that every weight's codes are cut from: what they are changes nothing about speed. */
const noise = Uint32Array.from({ length: 1 << 16 }, (_, i) => new Random(i).bits());

/**
 * A random weight made when its rows are asked for, so that no more than a chunk is ever held. Matrices are q4 in groups of
 * 64 where k allows it, else f16, sized so that activations stay near one; vectors are one half.
 */
export function randomWeight(ref: WeightRef): StoredWeight {
  if (ref.kind === 'matrix') return randomMatrix(ref, ref.k % GROUP === 0 ? 'q4' : 'f16');
  const readRows = async (begin: number, end: number) => ({
    values: bytesOf(new Float32Array(end - begin).fill(0.5)),
  });
  return { ref, format: 'f32', dtype: 'F32', group: 0, readRows };
}

/** A random matrix in any format; for q8 and q4, k is a multiple of {@link GROUP}. */
export function randomMatrix(ref: WeightRef, format: WeightFormat): StoredWeight {
  const size = 1 / Math.sqrt(ref.k);
  if (format === 'f16' || format === 'f32') {
    const pattern =
      format === 'f16'
        ? Uint16Array.from(noise, (bits) => toF16(bits & 1 ? size : -size))
        : Float32Array.from(noise, (bits) => (bits & 1 ? size : -size));
    const bytes = bytesOf(pattern);
    const readRows = async (begin: number, end: number) => ({
      values: repeated(bytes, (end - begin) * ref.k * pattern.BYTES_PER_ELEMENT),
    });
    return { ref, format, dtype: format === 'f16' ? 'F16' : 'F32', group: 0, readRows };
  }
  // Uniform codes 0..15 have the standard deviation 4.6, and 0..255 one of 74.
  const [perWord, deviation, middle] = format === 'q4' ? [8, 4.6, 7.5] : [4, 74, 127.5];
  const scale = size / deviation;
  const filled = (rows: number, value: number) =>
    bytesOf(new Uint16Array((rows * ref.k) / GROUP).fill(toF16(value)));
  return {
    ref,
    format,
    dtype: 'F16',
    group: GROUP,
    readRows: async (begin, end) => ({
      values: words(((end - begin) * ref.k) / perWord, begin),
      scales: filled(end - begin, scale),
      biases: filled(end - begin, -middle * scale),
    }),
  };
}

/** Values of standard deviation one, of both signs, made fast. */
export function noiseValues(count: number): Float32Array {
  const pattern = new Random(1).normals(1 << 12);
  return new Float32Array(repeated(bytesOf(pattern), count * 4).buffer);
}

function words(count: number, seed: number): Uint8Array {
  const out = new Uint32Array(count);
  for (let at = 0; at < count;) {
    const from = (seed * 7919 + at) % (noise.length >> 1);
    const part = noise.subarray(from, from + count - at);
    out.set(part, at);
    at += part.length;
  }
  return bytesOf(out);
}

function repeated(pattern: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let at = 0; at < length; at += pattern.length) out.set(pattern.subarray(0, length - at), at);
  return out;
}

function bytesOf(array: Float32Array | Uint16Array | Uint32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
