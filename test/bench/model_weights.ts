import type { StoredWeight } from '../../packages/core/src/backend/index.ts';
import type { WeightRef } from '../../packages/core/src/ops/index.ts';
import { Random } from '../support/random.ts';
import { toF16 } from '../support/weights.ts';

const group = 64;

/** Random words that every weight's codes are cut from: what they are changes nothing about speed. */
const noise = Uint32Array.from({ length: 1 << 16 }, (_, i) => new Random(i).bits());

/**
 * A random weight made when its rows are asked for, so that no more than a chunk is ever held. Matrices are q4 in groups of
 * 64 where k allows it, else f16, sized so that activations stay near one; vectors are one half.
 */
export function randomWeight(ref: WeightRef): StoredWeight {
  if (ref.kind === 'vector') return plain(ref, 'f32');
  return ref.k % group === 0 ? quantized(ref) : plain(ref, 'f16');
}

function quantized(ref: WeightRef): StoredWeight {
  // Uniform codes 0..15 have the standard deviation 4.6.
  const scale = 1 / (4.6 * Math.sqrt(ref.k));
  const filled = (rows: number, value: number) =>
    new Uint8Array(new Uint16Array((rows * ref.k) / group).fill(toF16(value)).buffer);
  return {
    ref,
    format: 'q4',
    dtype: 'F16',
    group,
    readRows: async (begin, end) => ({
      values: words(((end - begin) * ref.k) / 8, begin),
      scales: filled(end - begin, scale),
      biases: filled(end - begin, -7.5 * scale),
    }),
  };
}

function plain(ref: WeightRef, format: 'f32' | 'f16'): StoredWeight {
  const sign = (i: number) => (noise[i % noise.length] & 1 ? 1 : -1);
  const half = (i: number) => toF16(sign(i) / Math.sqrt(ref.k));
  return {
    ref,
    format,
    dtype: format === 'f32' ? 'F32' : 'F16',
    group: 0,
    readRows: async (begin, end) => {
      const count = (end - begin) * ref.k;
      const values =
        format === 'f32'
          ? new Float32Array(count).fill(0.5)
          : Uint16Array.from({ length: count }, (_, i) => half(i));
      return { values: new Uint8Array(values.buffer) };
    },
  };
}

function words(count: number, seed: number): Uint8Array {
  const out = new Uint32Array(count);
  for (let at = 0; at < count; at += noise.length) {
    const from = (seed * 7919 + at) % (noise.length >> 1);
    out.set(noise.subarray(from, from + Math.min(count - at, noise.length - from)), at);
  }
  return new Uint8Array(out.buffer);
}
