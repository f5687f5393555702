import { assertShape, type Recorder } from './recorder.ts';
import type { Activation, Tensor, Tolerance } from './types.ts';

/** `y = act(x)`, element by element. */
export function activation(r: Recorder, x: Tensor, act: Activation, name: string): Tensor {
  const y = r.tensor(name, x.rows, x.cols);
  r.emit({ op: 'activation', x, act, y });
  return y;
}

/** `y = silu(gate) * up`. */
export function swiglu(r: Recorder, gate: Tensor, up: Tensor, name: string): Tensor {
  assertShape(gate.rows === up.rows && gate.cols === up.cols, 'swiglu: shapes differ');
  const y = r.tensor(name, gate.rows, gate.cols);
  r.emit({ op: 'swiglu', gate, up, y });
  return y;
}

export const activationTolerance: Tolerance = { base: 2e-6, growth: 0 };
