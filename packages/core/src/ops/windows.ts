import { assertShape, type Recorder } from './recorder.ts';
import type { Tensor, Tolerance } from './types.ts';

/** The centred `kernel x kernel` window of a grid x `[grid * grid, C]`, flattened to `[1, kernel * kernel * C]`. */
export function crop(r: Recorder, x: Tensor, grid: number, kernel: number, name: string): Tensor {
  assertShape(x.rows === grid * grid && kernel >= 1 && kernel <= grid, `crop: ${kernel} of ${grid}`);
  const y = r.tensor(name, 1, kernel * kernel * x.cols);
  r.emit({ op: 'crop', x, grid, kernel, y });
  return y;
}

/**
 * The adaptive average pool of a whole grid x `[grid * grid, C]` to `kernel x kernel`, flattened to
 * `[1, kernel * kernel * C]`; the window of output j is `floor(j * grid / kernel)` up to `ceil((j + 1) * grid / kernel)`.
 */
export function pool(r: Recorder, x: Tensor, grid: number, kernel: number, name: string): Tensor {
  assertShape(x.rows === grid * grid && kernel >= 1 && kernel <= grid, `pool: ${kernel} of ${grid}`);
  const y = r.tensor(name, 1, kernel * kernel * x.cols);
  r.emit({ op: 'pool', x, grid, kernel, y });
  return y;
}

/** Every `kernel x kernel` window at a stride: x `[grid * grid, C]` to `[o * o, kernel * kernel * C]`. */
export function unfold(
  r: Recorder,
  x: Tensor,
  grid: number,
  kernel: number,
  stride: number,
  name: string,
): Tensor {
  assertShape(
    x.rows === grid * grid && kernel >= 1 && kernel <= grid && stride >= 1,
    `unfold: ${kernel} of ${grid}`,
  );
  const out = Math.floor((grid - kernel) / stride) + 1;
  const y = r.tensor(name, out * out, kernel * kernel * x.cols);
  r.emit({ op: 'unfold', x, grid, kernel, stride, y });
  return y;
}

export const cropTolerance: Tolerance = { base: 0, growth: 0 };
export const poolTolerance: Tolerance = { base: 1e-6, growth: 0 };
export const unfoldTolerance: Tolerance = { base: 0, growth: 0 };
