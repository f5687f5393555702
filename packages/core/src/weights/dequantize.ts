import { toFloat32 } from './floats.ts';
import type { LayerWeight } from './quantization.ts';
import type { WeightStore } from './store.ts';

/**
 * All values of a quantised matrix `[n, k]` in float32, row by row: `scale * code + bias` (specification section 9). For small
 * tables that are computed with as floats.
 *
 * @throws {LoadError} `FILE_UNREADABLE`.
 */
export async function readDequantized(
  store: WeightStore,
  { weight, affine, format, n, group }: LayerWeight,
  signal?: AbortSignal,
): Promise<Float32Array<ArrayBuffer>> {
  if (!affine) throw new RangeError(`${weight} is not quantised`);
  const whole = (name: string) => store.read(name, 0, n, signal);
  const [codes, ...factors] = await Promise.all([weight, affine.scales, affine.biases].map(whole));
  const [scales, biases] = factors.map((bytes) => toFloat32(bytes, affine.dtype));
  return dequantize(codes, scales, biases, format === 'q4' ? 4 : 8, group);
}

/** Whole rows of codes of 4 or 8 bits as float32: `scale * code + bias`, one of each for `group` codes. */
export function dequantize(
  codes: Uint8Array,
  scales: Float32Array,
  biases: Float32Array,
  bits: 4 | 8,
  group: number,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(codes.length * (8 / bits));
  // The words are little-endian, their first code lowest: so are the bytes.
  for (let i = 0; i < out.length; i++) {
    const code = bits === 8 ? codes[i] : (codes[i >> 1] >> (4 * (i & 1))) & 15;
    const at = Math.floor(i / group);
    out[i] = scales[at] * code + biases[at];
  }
  return out;
}
