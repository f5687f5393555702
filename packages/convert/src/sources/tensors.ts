import { LoadError } from '@llava-sp/core';
import { dtypeBytes, type DType } from '@llava-sp/core/formats';
import type { FloatDType, SourceTensor } from '../contract.ts';
import { checkpointInvalid } from './errors.ts';

/** A tensor of a published file, of any element type. */
export interface PublishedTensor extends Omit<SourceTensor, 'dtype'> {
  readonly dtype: DType;
  /** The file that holds it. */
  readonly file: string;
}

/** Far above the largest published tensor (a 151,000 x 8,192 embedding), far below 2^53; rows are read whole. */
const maxElements = 2 ** 33;
const maxRowElements = 2 ** 27;

/**
 * @throws {LoadError} `CHECKPOINT_INVALID` when it is larger than any tensor of a model: an expanded view of a few bytes
 *   can claim any size.
 */
export function publishedTensor(tensor: Omit<PublishedTensor, 'bytes'>): PublishedTensor {
  const { shape, dtype, name, file } = tensor;
  const row = product(shape.slice(1));
  const elements = row * (shape[0] ?? 1);
  if (!(elements <= maxElements && row <= maxRowElements))
    throw checkpointInvalid(
      file,
      `its tensor ${JSON.stringify(name.slice(0, 200))} claims the shape [${shape.join(', ')}]`,
    );
  return { ...tensor, bytes: elements * dtypeBytes[dtype] };
}

/**
 * The tensor as a source of weights, in another shape of the same size if one is given.
 *
 * @throws {LoadError} `WEIGHTS_DTYPE` when it holds no floats.
 */
export function asSource(tensor: PublishedTensor, shape: readonly number[] = tensor.shape): SourceTensor {
  const { dtype, name, file } = tensor;
  if (!isFloat(dtype))
    throw new LoadError({
      code: 'WEIGHTS_DTYPE',
      message: `${file}: "${name}" must be F32, F16 or BF16; found ${dtype}.`,
      fix: 'Use the checkpoint in floats, as it was published before quantisation.',
    });
  const same = shape.length === tensor.shape.length && shape.every((size, i) => size === tensor.shape[i]);
  const { bytes } = tensor;
  const base = { name, dtype, shape, bytes };
  if (same) return { ...base, read: tensor.read };
  const rows = tensor.shape[0] ?? 1;
  // Leading dimensions of 1 are all that published shapes differ by: a row of the new shape is a part of the only old one.
  if (shape[0] === rows) return { ...base, read: tensor.read };
  const rowBytes = bytes / (shape[0] ?? 1);
  return {
    ...base,
    async read(rowBegin, rowEnd, signal) {
      const all = await tensor.read(0, rows, signal);
      return all.subarray(rowBegin * rowBytes, rowEnd * rowBytes);
    },
  };
}

function isFloat(dtype: DType): dtype is FloatDType {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
}

export function product(sizes: readonly number[]): number {
  return sizes.reduce((a, b) => a * b, 1);
}
