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
  { weight, affine, format, n, k, group }: LayerWeight,
  signal?: AbortSignal,
): Promise<Float32Array<ArrayBuffer>> {
  if (!affine) throw new RangeError(`${weight} is not quantised`);
  const whole = (name: string) => store.read(name, 0, n, signal);
  const [codes, ...factors] = await Promise.all([weight, affine.scales, affine.biases].map(whole));
  const [scales, biases] = factors.map((bytes) => toFloat32(bytes, affine.dtype));
  const words = new DataView(codes.buffer, codes.byteOffset, codes.byteLength);
  const bits = format === 'q4' ? 4 : 8;
  const perWord = 32 / bits;
  return Float32Array.from({ length: n * k }, (_, i) => {
    const word = words.getUint32(4 * Math.floor(i / perWord), true);
    const code = (word >>> (bits * (i % perWord))) & (2 ** bits - 1);
    const at = Math.floor(i / group);
    return scales[at] * code + biases[at];
  });
}
