/** Stored weights as floats, in the order of the device's textures. */
import type { StoredWeight } from '../../backend/index.ts';
import { toHwi } from '../../backend/stored.ts';
import { throwIfAborted } from '../../errors/index.ts';
import { dequantize } from '../../weights/dequantize.ts';
import { assertFinite, toFloat32, type FloatFormat } from '../../weights/floats.ts';
import { roundUp } from './products.ts';

/** Bytes of stored rows that are read at a time. */
const CHUNK_BYTES = 4 << 20;

/**
 * A matrix `[n, k]` transposed, `[roundUp(k, 4), roundUp(n, 4)]`, with zeros at the edges.
 *
 * @throws {LoadError} `WEIGHTS_NOT_FINITE`, and what reading throws.
 */
export async function readTransposed(weight: StoredWeight, signal?: AbortSignal): Promise<Float32Array> {
  const { ref, format } = weight;
  const { n, k } = ref;
  const width = roundUp(n, 4);
  const out = new Float32Array(roundUp(k, 4) * width);
  const rowBytes = (k * { q4: 4, q8: 8, f16: 16, f32: 32 }[format]) / 8;
  const step = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
  for (let begin = 0; begin < n; begin += step) {
    throwIfAborted(signal);
    const end = Math.min(n, begin + step);
    const values = await readRows(weight, begin, end, signal);
    for (let i = 0; i < k; i++) {
      const line = i * width + begin;
      for (let o = 0; o < end - begin; o++) out[line + o] = values[o * k + i];
    }
  }
  return out;
}

/** @throws {LoadError} `WEIGHTS_NOT_FINITE`, and what reading throws. */
export async function readVector(weight: StoredWeight, signal?: AbortSignal): Promise<Float32Array> {
  return readRows(weight, 0, weight.ref.n, signal);
}

async function readRows(
  weight: StoredWeight,
  begin: number,
  end: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const { ref, format, dtype, group } = weight;
  const { values, scales, biases } = await weight.readRows(begin, end, signal);
  const floats = dtype.toLowerCase() as FloatFormat;
  if (format === 'f32' || format === 'f16') {
    assertFinite(values, floats, ref.name);
    const ordered = ref.order === 'oihw' ? toHwi(values, end - begin, ref.kernel, dtype) : values;
    return toFloat32(ordered, floats);
  }
  if (!scales || !biases) throw new Error(`${ref.name}: ${format} without scales and biases`);
  for (const factors of [scales, biases]) assertFinite(factors, floats, ref.name);
  return dequantize(
    values,
    toFloat32(scales, floats),
    toFloat32(biases, floats),
    format === 'q4' ? 4 : 8,
    group,
  );
}
