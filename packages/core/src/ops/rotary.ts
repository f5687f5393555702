import { assertShape, type Recorder } from './recorder.ts';
import type { Tensor, Tolerance } from './types.ts';

/**
 * Rotary positions in place on x `[rows, heads * headDim]`: pairs are (i, i + headDim/2) of a head, row r has the
 * position `pos + r`, the angle is `position * theta^(-2i/headDim)`.
 */
export function rotary(r: Recorder, x: Tensor, heads: number, headDim: number, theta: number): void {
  assertShape(x.cols === heads * headDim && headDim % 2 === 0, `rotary: ${x.cols} != ${heads} * ${headDim}`);
  r.emit({ op: 'rotary', x, heads, headDim, theta });
}

/** The angle is reduced in float64; what is left is the f32 rotation. */
export const rotaryTolerance: Tolerance = { base: 2e-6, growth: 0 };
