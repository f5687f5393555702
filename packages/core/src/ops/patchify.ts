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

/**
 * `y[0] = cls + pos[0]`, `y[1 + i] = patches[i] + pos[1 + i]`; y `[1 + patches, width]`. Encoders without a class token
 * (SigLIP) have `cls` null: `y[i] = patches[i] + pos[i]`, y `[patches, width]`.
 */
export function assembleCls(
  r: Recorder,
  patches: Tensor,
  cls: WeightRef | null,
  pos: WeightRef,
  name: string,
): Tensor {
  const { cols } = patches;
  const rows = patches.rows + (cls ? 1 : 0);
  assertShape((cls?.n ?? cols) === cols && pos.n === rows * cols, `assemble_cls: ${pos.n} positions`);
  const y = r.tensor(name, rows, cols);
  r.emit({ op: 'assemble_cls', patches, cls, pos, y });
  return y;
}

export const patchifyTolerance: Tolerance = { base: 0, growth: 0 };
export const assembleClsTolerance: Tolerance = { base: 1e-6, growth: 0 };
