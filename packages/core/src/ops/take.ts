import { assertShape, type Recorder } from './recorder.ts';
import type { Tensor, Tolerance } from './types.ts';

/**
 * `y[i] = table[ids[i]]`: rows of a tensor in the order of `ids` u32 `[rows, 1]`; table `[n, width]`, y `[rows, width]`.
 * An id past the end takes the last row: no id reads outside the table.
 */
export function take(r: Recorder, table: Tensor, ids: Tensor, y: Tensor): Tensor {
  assertShape(ids.cols === 1 && y.rows === ids.rows && y.cols === table.cols, `take: ${ids.rows} ids`);
  r.emit({ op: 'take', table, ids, y });
  return y;
}

export const takeTolerance: Tolerance = { base: 0, growth: 0 };
