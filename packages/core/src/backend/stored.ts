import type { StoredDType } from './index.ts';

const SIZE: Record<StoredDType, number> = { F32: 4, F16: 2, BF16: 2 };

/** Convolution rows `[in, k, k]` reordered to `[k, k, in]`, the order in which a grid's features lie. */
export function toHwi(bytes: Uint8Array, rows: number, kernel: number, dtype: StoredDType): Uint8Array {
  return transposeRows(bytes, rows, kernel * kernel, dtype);
}

/** Each row, a matrix `[outer, inner]`, becomes `[inner, outer]`. */
export function transposeRows(
  bytes: Uint8Array,
  rows: number,
  inner: number,
  dtype: StoredDType,
): Uint8Array {
  const words = SIZE[dtype] / 2;
  const source = aligned16(bytes);
  const out = new Uint16Array(source.length);
  const perRow = source.length / words / rows;
  const outer = perRow / inner;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < inner; i++) {
      for (let o = 0; o < outer; o++) {
        const from = (row * perRow + o * inner + i) * words;
        const to = (row * perRow + i * outer + o) * words;
        for (let w = 0; w < words; w++) out[to + w] = source[from + w];
      }
    }
  }
  return new Uint8Array(out.buffer);
}

function aligned16(bytes: Uint8Array): Uint16Array {
  const whole = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(whole.buffer, whole.byteOffset, whole.length / 2);
}
