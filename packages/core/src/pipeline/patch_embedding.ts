import type { StoredWeight } from '../backend/index.ts';
import { transposeRows } from '../backend/stored.ts';
import { LoadError } from '../errors/index.ts';
import type { VisionConfig } from '../models/config.ts';

/** Whether a weight of this name is the convolution that makes patches of pixels. */
export function isPatchEmbedding(name: string): boolean {
  return name.endsWith('.patch_embedding.weight');
}

/**
 * The patch embedding in the order of the patches, `[out, channels, patch, patch]`, as PyTorch has convolutions. MLX keeps
 * `[out, patch, patch, channels]`: that is told by the shape, and reordered as it is read.
 *
 * @throws {LoadError} `WEIGHTS_DTYPE` when it is quantised: codes of a convolution have their channels last, and can't be
 *   reordered across their groups.
 */
export function orderPatchEmbedding(
  weight: StoredWeight,
  shape: readonly number[],
  { patch, channels }: VisionConfig,
): StoredWeight {
  if (weight.group > 0) {
    throw new LoadError({
      code: 'WEIGHTS_DTYPE',
      message: `The tensor ${weight.ref.name} is quantised; the patch embedding must be floating point.`,
      fix: 'Convert the model again, leaving the patch embedding out of the quantisation, as MLX does.',
    });
  }
  const last = [patch, patch, channels];
  const first = [channels, patch, patch];
  const is = (order: readonly number[]) => order.every((size, i) => shape[i + 1] === size);
  if (shape.length !== 4 || is(first) || !is(last)) return weight;
  return {
    ...weight,
    async readRows(begin, end, signal) {
      const { values } = await weight.readRows(begin, end, signal);
      return { values: transposeRows(values, end - begin, channels, weight.dtype) };
    },
  };
}
