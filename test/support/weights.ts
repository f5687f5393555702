import type {
  StoredDType,
  StoredWeight,
  WeightFormat,
  WeightRows,
} from '../../packages/core/src/backend/index.ts';
import type { WeightRef } from '../../packages/core/src/ops/index.ts';

/** How a test stores a weight. */
export interface Storing {
  readonly format: WeightFormat;
  /** Of the values, or of scales and biases. Default: F32 for f32, F16 for the rest. */
  readonly dtype?: StoredDType;
  /** For q8 and q4; 64 by default. */
  readonly group?: number;
}

/** `values` `[n, k]` in the order of the file (`ref.order`), held in memory in the given form. */
export function storeWeight(ref: WeightRef, values: Float32Array, storing: Storing): StoredWeight {
  if (values.length !== ref.n * ref.k) throw new RangeError(`${ref.name}: ${values.length} values`);
  const { format } = storing;
  const dtype = storing.dtype ?? (format === 'f32' ? 'F32' : 'F16');
  if (format === 'f32' || format === 'f16') {
    return inMemory(ref, format, dtype, 0, { values: encodeValues(values, dtype) });
  }
  const group = storing.group ?? 64;
  const quantized = quantizeAffine(values, ref.k, group, format === 'q4' ? 4 : 8);
  return inMemory(ref, format, dtype, group, {
    values: bytesOf(quantized.codes),
    scales: encodeValues(quantized.scales, dtype),
    biases: encodeValues(quantized.biases, dtype),
  });
}

/** A vector in f32. */
export function storeVector(ref: WeightRef, values: Float32Array, dtype: StoredDType = 'F32'): StoredWeight {
  return storeWeight(ref, values, { format: dtype === 'F32' ? 'f32' : 'f16', dtype });
}

/** A weight whose bytes are at hand. */
export function inMemory(
  ref: WeightRef,
  format: WeightFormat,
  dtype: StoredDType,
  group: number,
  rows: WeightRows,
): StoredWeight {
  const slice = (bytes: Uint8Array, begin: number, end: number) => {
    const rowBytes = bytes.byteLength / ref.n;
    return bytes.slice(begin * rowBytes, end * rowBytes);
  };
  return {
    ref,
    format,
    dtype,
    group,
    readRows: async (begin, end) => ({
      values: slice(rows.values, begin, end),
      scales: rows.scales && slice(rows.scales, begin, end),
      biases: rows.biases && slice(rows.biases, begin, end),
    }),
    readScales: async (begin, end) => {
      const parts = [rows.scales, rows.biases].map((bytes) => slice(bytes ?? new Uint8Array(), begin, end));
      return new Uint8Array(await new Blob(parts).arrayBuffer());
    },
  };
}

export interface Affine {
  /** `[n, k / (32 / bits)]`, lowest bits first. */
  readonly codes: Uint32Array;
  /** `[n, k / group]`; a group's largest magnitude may sit at either end, so scales may be negative. */
  readonly scales: Float32Array;
  readonly biases: Float32Array;
}

/**
 * MLX's affine quantiser: per group of `group` values along k, `w ~ scale * code + bias`, the bias at the end of the
 * range that has the larger magnitude, adjusted so that zero is a code (mlx/backend/cpu/quantized.cpp's rule).
 */
export function quantizeAffine(values: Float32Array, k: number, group: number, bits: 4 | 8): Affine {
  if (k % group !== 0 || values.length % k !== 0) throw new RangeError(`group ${group} of k ${k}`);
  const levels = 2 ** bits - 1;
  const perWord = 32 / bits;
  const groups = values.length / group;
  const codes = new Uint32Array(values.length / perWord);
  const scales = new Float32Array(groups);
  const biases = new Float32Array(groups);
  for (let g = 0; g < groups; g++) {
    const part = values.subarray(g * group, (g + 1) * group);
    const low = part.reduce((a, b) => Math.min(a, b));
    const high = part.reduce((a, b) => Math.max(a, b));
    const lowEdge = Math.abs(low) > Math.abs(high);
    const edge = lowEdge ? low : high;
    const step = Math.max((high - low) / levels, 1e-7) * (lowEdge ? 1 : -1);
    const edgeCode = Math.round(edge / step);
    // The scales are stored in 16 bits by default, so the codes must be chosen for the value that is stored.
    scales[g] = edgeCode === 0 ? toF16Value(step) : toF16Value(edge / edgeCode);
    biases[g] = edgeCode === 0 ? 0 : toF16Value(edge);
    part.forEach((value, i) => {
      const code = scales[g] === 0 ? 0 : Math.round((value - biases[g]) / scales[g]);
      const at = g * group + i;
      codes[Math.floor(at / perWord)] |= Math.min(levels, Math.max(0, code)) << (bits * (at % perWord));
    });
  }
  return { codes, scales, biases };
}

export function encodeValues(values: Float32Array, dtype: StoredDType): Uint8Array {
  switch (dtype) {
    case 'F32':
      return bytesOf(values);
    case 'F16':
      return bytesOf(Uint16Array.from(values, toF16));
    case 'BF16':
      return bytesOf(Uint16Array.from(values, toBf16));
  }
}

const word = new DataView(new ArrayBuffer(4));

/** Round to nearest, ties to even; past the largest half, infinity. */
export function toF16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 1)));
  const exact = size < 2 ** exponent ? exponent - 1 : exponent;
  const base = Math.max(-14, exact);
  const steps = size / 2 ** (base - 10);
  const below = Math.floor(steps);
  const rest = steps - below;
  const rounded = rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
  // 1024 steps are one exponent: a carry out of the fraction lands in the exponent by itself.
  return sign | (rounded < 1024 ? rounded : (base + 14) * 1024 + rounded);
}

export function toBf16(value: number): number {
  word.setFloat32(0, value);
  const bits = word.getUint32(0);
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function toF16Value(value: number): number {
  const bits = toF16(value);
  const size =
    (bits & 0x7c00) === 0
      ? (bits & 1023) * 2 ** -24
      : (1024 + (bits & 1023)) * 2 ** (((bits >> 10) & 31) - 25);
  return bits & 0x8000 ? -size : size;
}

function bytesOf(array: Float32Array | Uint16Array | Uint32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
