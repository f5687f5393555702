/** Strided views of stored elements, read densely. */
import type { ByteSource } from '@llava-sp/core';
import { throwIfAborted } from '@llava-sp/core/formats';

export interface StridedView {
  /** Of the storage, in bytes of the file. */
  readonly begin: number;
  /** Bytes of an element: 1, 2, 4 or 8. */
  readonly item: number;
  /** In elements. */
  readonly offset: number;
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
}

/** A strided read takes this many bytes of the storage at once, so that a transposed table of any size fits. */
const pieceBytes = 16 * 2 ** 20;

/** Elements from the first to the last that the view touches; 0 when it has none. */
export function spanOf(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((span, size, i) => span + (size - 1) * strides[i], 1);
}

/** Row-major strides, in elements. */
export function denseStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

/** Rows `[rowBegin, rowEnd)` of the leading dimension (one row for a scalar), dense. */
export async function readStrided(
  source: ByteSource,
  view: StridedView,
  rowBegin: number,
  rowEnd: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const { begin, item, offset } = view;
  const shape = view.shape.length === 0 ? [1] : [rowEnd - rowBegin, ...view.shape.slice(1)];
  const strides = view.shape.length === 0 ? [1] : view.strides;
  const first = offset + rowBegin * strides[0];
  const count = shape.reduce((product, size) => product * size, 1);
  if (count === 0) return new Uint8Array(0);
  const at = (element: number) => begin + element * item;
  if (isDense(shape, strides)) return source.read(at(first), at(first + count), signal);

  const out = elements(new Uint8Array(count * item), item);
  const axes = outermostFirst(shape, strides);
  const span = spanOf(shape, strides);
  const step = Math.floor(pieceBytes / item);
  for (let from = 0; from < span; from += step) {
    throwIfAborted(signal);
    const to = Math.min(span, from + step);
    const bytes = await source.read(at(first + from), at(first + to), signal);
    gather({ axes, out, piece: elements(bytes, item), from, to }, 0, 0, 0);
  }
  return new Uint8Array(out.buffer);
}

type Elements = Uint8Array | Uint16Array | Uint32Array | Float64Array;

function elements(bytes: Uint8Array, item: number): Elements {
  const aligned = bytes.byteOffset % item === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  const count = aligned.length / item;
  if (item === 8) return new Float64Array(buffer, byteOffset, count);
  if (item === 4) return new Uint32Array(buffer, byteOffset, count);
  return item === 2 ? new Uint16Array(buffer, byteOffset, count) : aligned;
}

function isDense(shape: readonly number[], strides: readonly number[]): boolean {
  const dense = denseStrides(shape);
  return shape.every((size, i) => size === 1 || strides[i] === dense[i]);
}

interface Axis {
  readonly size: number;
  /** In the storage, in elements. */
  readonly stride: number;
  /** In the dense result, in elements. */
  readonly step: number;
  /** Elements of the storage that the axes inside this one span. */
  readonly inside: number;
}

/** By falling stride, so that a whole subtree lies inside or outside a piece. */
function outermostFirst(shape: readonly number[], strides: readonly number[]): Axis[] {
  const dense = denseStrides(shape);
  const order = shape
    .map((size, i) => ({ size, stride: strides[i], step: dense[i] }))
    .filter(({ size }) => size > 1)
    .sort((a, b) => b.stride - a.stride);
  return order.map((axis, i) => {
    const inner = order.slice(i + 1);
    return {
      ...axis,
      inside: spanOf(
        inner.map(({ size }) => size),
        inner.map(({ stride }) => stride),
      ),
    };
  });
}

interface Gather {
  readonly axes: readonly Axis[];
  readonly out: Elements;
  readonly piece: Elements;
  /** The elements that the piece holds, counted from the view's first. */
  readonly from: number;
  readonly to: number;
}

/** `element` counts in the storage from the view's first, `target` in the dense result. */
function gather(job: Gather, depth: number, element: number, target: number): void {
  const { axes, out, piece, from, to } = job;
  const { size, stride, step, inside } = axes[depth];
  // The indices whose subtree touches the piece.
  const low = stride === 0 ? 0 : Math.max(0, Math.ceil((from - inside + 1 - element) / stride));
  const high = stride === 0 ? size : Math.min(size, Math.ceil((to - element) / stride));
  if (depth < axes.length - 1) {
    for (let i = low; i < high; i++) gather(job, depth + 1, element + i * stride, target + i * step);
  } else {
    for (let i = low; i < high; i++) out[target + i * step] = piece[element - from + i * stride];
  }
}
