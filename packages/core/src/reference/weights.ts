import type { StoredWeight } from '../backend/index.ts';
import { matrix, type Matrix } from './matrix.ts';
import { decodeValues } from './numbers.ts';

/** A weight in float64, and whether its linears round their activations. */
export interface ReferenceWeight {
  readonly values: Matrix;
  readonly quantized: boolean;
}

/**
 * Reads a whole weight as float64 `[n, k]`. q8 and q4 are evaluated as `scale * code + bias` (MLX affine, specification
 * section 9); an unquantised `oihw` convolution is put in the order `[out, kh, kw, in]`.
 */
export async function readWeight(weight: StoredWeight, signal?: AbortSignal): Promise<ReferenceWeight> {
  const { ref, format, dtype, group } = weight;
  const rows = await weight.readRows(0, ref.n, signal);
  if (format === 'f32' || format === 'f16') {
    const values = decodeValues(rows.values, dtype);
    const ordered = ref.order === 'oihw' ? reorder(values, ref.n, ref.k, ref.kernel) : values;
    return { values: matrix(ordered, ref.n, ref.k), quantized: false };
  }
  if (!rows.scales || !rows.biases) throw new RangeError(`${ref.name}: ${format} without scales and biases`);
  const codes = new DataView(rows.values.buffer, rows.values.byteOffset, rows.values.byteLength);
  const scales = decodeValues(rows.scales, dtype);
  const biases = decodeValues(rows.biases, dtype);
  const bits = format === 'q4' ? 4 : 8;
  const perWord = 32 / bits;
  const values = new Float64Array(ref.n * ref.k);
  for (let i = 0; i < values.length; i++) {
    const word = codes.getUint32(4 * Math.floor(i / perWord), true);
    const code = (word >>> (bits * (i % perWord))) & (2 ** bits - 1);
    const g = Math.floor(i / group);
    values[i] = scales[g] * code + biases[g];
  }
  return { values: matrix(values, ref.n, ref.k), quantized: true };
}

/** `[out, in, kernel, kernel]` to `[out, kernel, kernel, in]`. */
function reorder(values: Float64Array, n: number, k: number, kernel: number): Float64Array {
  const area = kernel * kernel;
  const channels = k / area;
  const out = new Float64Array(values.length);
  for (let o = 0; o < n; o++) {
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < area; p++) out[o * k + p * channels + c] = values[o * k + c * area + p];
    }
  }
  return out;
}
