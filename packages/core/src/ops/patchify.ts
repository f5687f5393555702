import { assertShape, type Recorder } from './recorder.ts';
import type { Tensor, Tolerance, WeightRef } from './types.ts';

/**
 * Pixels `[channels, side, side]` (as one row of `channels * side * side`) to patches
 * `[grid * grid, channels * patch * patch]`, in the order of a `[C, channels, patch, patch]` convolution's weights.
 */
export function patchify(r: Recorder, pixels: Tensor, channels: number, grid: number, patch: number): Tensor {
  const side = grid * patch;
  assertShape(pixels.rows * pixels.cols === channels * side * side, `patchify: ${pixels.cols} pixels`);
  const y = r.tensor('vision.patches', grid * grid, channels * patch * patch);
  r.emit({ op: 'patchify', pixels, channels, grid, patch, y });
  return y;
}

/** `y[0] = cls + pos[0]`, `y[1 + i] = patches[i] + pos[1 + i]`; y `[1 + patches, width]`. */
export function assembleCls(
  r: Recorder,
  patches: Tensor,
  cls: WeightRef,
  pos: WeightRef,
  name: string,
): Tensor {
  const rows = patches.rows + 1;
  assertShape(cls.n === patches.cols && pos.n === rows * patches.cols, `assemble_cls: ${pos.n} positions`);
  const y = r.tensor(name, rows, patches.cols);
  r.emit({ op: 'assemble_cls', patches, cls, pos, y });
  return y;
}

export const patchifyTolerance: Tolerance = { base: 0, growth: 0 };
export const assembleClsTolerance: Tolerance = { base: 1e-6, growth: 0 };
