import { assertShape, type Recorder } from './recorder.ts';
import type { Tensor, Tolerance } from './types.ts';

/** `y = x`, between views of different strides. */
export function copy(r: Recorder, x: Tensor, y: Tensor): void {
  assertShape(x.rows === y.rows && x.cols === y.cols, `copy: ${x.rows} x ${x.cols} to ${y.rows} x ${y.cols}`);
  r.emit({ op: 'copy', x, y });
}

export const copyTolerance: Tolerance = { base: 0, growth: 0 };
