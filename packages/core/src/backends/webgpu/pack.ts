/** Rows of stored weights in the layout that the kernels read (`wgsl/shared/weights.wgsl`). */
import type { WeightFormat } from '../../backend/index.ts';
import { LoadError } from '../../errors/index.ts';
import { toFloat32, type FloatFormat } from '../../weights/floats.ts';

/** Bytes of one row of values: whole blocks of 16 bytes. */
export function rowBytes(format: WeightFormat, k: number): number {
  const bits = { q4: 4, q8: 8, f16: 16, f32: 32 }[format];
  return Math.ceil((k * bits) / 128) * 16;
}

/** Bytes of one row's scales: two halves a group. */
export function scaleBytes(format: WeightFormat, k: number, group: number): number {
  return format === 'q4' || format === 'q8' ? (k / group) * 4 : 0;
}

/** Floats `[rows, k]` as rows of `to`, each padded with zeros to whole blocks. */
export function packRows(
  bytes: Uint8Array,
  from: FloatFormat,
  to: 'f16' | 'f32',
  k: number,
  name: string,
): Uint8Array {
  const size = from === 'f32' ? 4 : 2;
  const converted =
    from === to ? bytes : to === 'f32' ? bytesOf(toFloat32(bytes, from)) : bytesOf(halves(bytes, from, name));
  const stride = rowBytes(to, k);
  const row = (k * (to === 'f32' ? 4 : 2)) | 0;
  if (stride === row) return converted;
  const rows = bytes.length / size / k;
  const out = new Uint8Array(rows * stride);
  for (let r = 0; r < rows; r++) out.set(converted.subarray(r * row, (r + 1) * row), r * stride);
  return out;
}

/**
 * The power of two in which scales and biases are stored as halves, so that the largest is well inside f16's range: 1 for
 * all that models have, since matrices of one unit can be read by one dispatch. Halves are kept as they are.
 */
export function unitOf(scalesAndBiases: Uint8Array, from: FloatFormat): number {
  if (from === 'f16') return 1;
  const largest = toFloat32(scalesAndBiases, from).reduce(
    (most, value) => Math.max(most, Math.abs(value)),
    0,
  );
  return largest === 0 ? 1 : 2 ** (16 * Math.round(Math.log2(largest) / 16));
}

/** Scale and bias of every group side by side, as halves in units of `unit`. */
export function packScales(
  scales: Uint8Array,
  biases: Uint8Array,
  from: FloatFormat,
  unit: number,
  name: string,
): Uint8Array {
  const [s, b] = [scales, biases].map((part) => {
    if (from === 'f16') return new Uint16Array(part.slice().buffer);
    return toHalves(
      toFloat32(part, from).map((value) => value / unit),
      name,
    );
  });
  const out = new Uint16Array(2 * s.length);
  for (let i = 0; i < s.length; i++) {
    out[2 * i] = s[i];
    out[2 * i + 1] = b[i];
  }
  return bytesOf(out);
}

function halves(bytes: Uint8Array, from: FloatFormat, name: string): Uint16Array {
  return toHalves(toFloat32(bytes, from), name);
}

const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

/**
 * Rounded to the nearest half, ties to even.
 *
 * @throws {LoadError} `WEIGHTS_NOT_FINITE` when a value is beyond the largest half.
 */
export function toHalves(values: Float32Array, name: string): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    FLOAT[0] = values[i];
    const bits = BITS[0];
    const sign = (bits >>> 16) & 0x8000;
    const size = bits & 0x7fffffff;
    // 65520 and above round to infinity.
    if (size >= 0x477ff000) {
      throw new LoadError({
        code: 'WEIGHTS_NOT_FINITE',
        message: `The tensor "${name}" holds ${values[i]}, which 16-bit floats can't hold.`,
        fix: 'Convert the model again with this tensor in float32.',
      });
    }
    if (size < 0x38800000) {
      // A subnormal half: units of 2^-24. Adding 2^-1 puts them at the end of the fraction, rounded by the addition.
      FLOAT[0] = Math.abs(values[i]) + 0.5;
      out[i] = sign | (BITS[0] - 0x3f000000);
    } else {
      out[i] = sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
    }
  }
  return out;
}

function bytesOf(array: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
