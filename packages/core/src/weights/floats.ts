import { LoadError } from '../errors/index.ts';
import { checkShape, floatFormat } from './quantization.ts';
import type { WeightStore } from './store.ts';

/** Floats that can be read. */
export type FloatFormat = 'f32' | 'f16' | 'bf16';

/**
 * Reads a small float tensor (a norm, a bias) of exactly `shape` as float32, row-major.
 *
 * @throws {LoadError} `WEIGHTS_MISSING`, `WEIGHTS_SHAPE`, `WEIGHTS_DTYPE`, `WEIGHTS_NOT_FINITE`, `FILE_UNREADABLE`.
 */
export async function readFloats(
  store: WeightStore,
  name: string,
  shape: readonly number[],
  signal?: AbortSignal,
): Promise<Float32Array<ArrayBuffer>> {
  const tensor = store.entry(name);
  checkShape(tensor, shape);
  const format = floatFormat(tensor);
  const bytes = await store.read(name, 0, tensor.rows, signal);
  assertFinite(bytes, format, name);
  return toFloat32(bytes, format);
}

/** Little-endian floats of 16 or 32 bits as float32, exactly. `bytes` may start at any offset. */
export function toFloat32(bytes: Uint8Array, format: FloatFormat): Float32Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (format === 'f32') {
    const values = new Float32Array(bytes.length / 4);
    for (let i = 0; i < values.length; i++) values[i] = view.getFloat32(4 * i, true);
    return values;
  }
  const values = new Float32Array(bytes.length / 2);
  if (format === 'bf16') {
    const bits = new Uint32Array(values.buffer);
    for (let i = 0; i < values.length; i++) bits[i] = view.getUint16(2 * i, true) << 16;
  } else {
    for (let i = 0; i < values.length; i++) values[i] = halfToNumber(view.getUint16(2 * i, true));
  }
  return values;
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/**
 * Weights that are NaN or infinite would only show as a silent wrong answer; a value is one of them when all bits of its
 * exponent are set, which is read here without decoding.
 *
 * @throws {LoadError} `WEIGHTS_NOT_FINITE` naming the tensor.
 */
export function assertFinite(bytes: Uint8Array, format: FloatFormat, name: string): void {
  const step = format === 'f32' ? 4 : 2;
  const mask = format === 'f16' ? 0x7c00 : 0x7f80;
  // The sixteen bits that hold sign and exponent are the last two bytes of a little-endian value.
  for (let i = step - 2; i < bytes.length; i += step) {
    if (((bytes[i] | (bytes[i + 1] << 8)) & mask) === mask) throw notFinite(name);
  }
}

export function notFinite(name: string): LoadError {
  return new LoadError({
    code: 'WEIGHTS_NOT_FINITE',
    message: `The tensor "${name}" holds a value that is not a finite number.`,
    fix: 'Download or convert the model again; its weights are damaged.',
  });
}
