/**
 * Random programs: chains of ops whose tensors are split between threads, gathered, sliced, overwritten and joined in
 * ways that single ops do not show.
 */
import {
  activation,
  attention,
  colsOf,
  copy,
  layerNorm,
  linear,
  rmsNorm,
  rotary,
  rowsOf,
  swiglu,
  type Activation,
  type Tensor,
} from '../../../packages/core/src/ops/index.ts';
import { CaseBuilder, type Case } from '../case.ts';

const acts: Activation[] = ['gelu', 'quick_gelu', 'gelu_tanh', 'silu', 'none'];

/**
 * One chain of `length` ops on tensors of `rows` rows. With `quantized`, weights are q8 or q4 where k is a multiple of 32,
 * and the int8 copies of activations are shared and outdated along the way.
 */
function chain(seed: number, rows: number, length: number, quantized: boolean): Case {
  const b = new CaseBuilder(`chain seed ${seed} rows ${rows}${quantized ? ' quantized' : ''}`, seed);
  const { recorder: r, random } = b;
  const live: Tensor[] = quantized
    ? [b.input(rows, 32), b.input(rows, 64)]
    : [b.input(rows, 24), b.input(rows, 48)];
  const inputs = live.length;
  let count = 0;
  const name = () => `t${count++}`;
  // Weights of variance 1/k keep values near one, so that no later op hides or blows up an error.
  const project = (x: Tensor, n: number, units = 0) => {
    const format = quantized && x.cols % 32 === 0 ? random.pick(['q8', 'q4'] as const) : 'f32';
    return b.matrix(n, x.cols, { format, group: 32 }, { units, scale: 1 / Math.sqrt(x.cols) });
  };
  const other = (x: Tensor) => live.filter((t) => t.cols === x.cols && t.rows === x.rows && t !== x);

  const steps: ((x: Tensor) => Tensor)[] = [
    (x) =>
      linear(r, x, project(x, random.pick(quantized ? [32, 64, 96] : [8, 17, 24, 48, 63])), {
        act: random.pick(acts),
        name: name(),
      }),
    (x) => linear(r, x, project(x, 48, random.pick([2, 3, 4, 6])), { bias: b.vector(48), name: name() }),
    // A residual that may itself be split, at the same borders or at others.
    (x) => {
      const residual = random.pick(live);
      return linear(r, x, project(x, residual.cols), { residual, name: name() });
    },
    // In place.
    (x) => {
      const made = live.filter((t) => t.storage >= inputs && t.storage !== x.storage);
      const y = made.length > 0 ? random.pick(made) : linear(r, x, project(x, 24), { name: name() });
      return linear(r, x, project(x, y.cols), { residual: y, y });
    },
    (x) => layerNorm(r, x, b.vector(x.cols), b.vector(x.cols), 1e-5, name()),
    (x) => rmsNorm(r, x, b.vector(x.cols), 1e-5, name()),
    (x) => activation(r, x, random.pick(acts), name()),
    (x) => swiglu(r, x, random.pick([x, ...other(x)]), name()),
    (x) => {
      const heads = random.pick([2, 4]);
      const y = linear(r, x, project(x, 32, heads), { name: name() });
      rotary(r, y, heads, 32 / heads, 1e4);
      return y;
    },
    (x) => {
      const heads = random.pick([2, 3, 6]);
      const [q, k, v] = [0, 1, 2].map(() => linear(r, x, project(x, 48, heads), { name: name() }));
      return attention(r, q, k, v, heads, name());
    },
    // Two tensors side by side, by linears into columns or by copies.
    (x) => {
      const joined = r.tensor(name(), rows, 2 * x.cols);
      linear(r, x, project(x, x.cols), { y: colsOf(joined, x.cols, x.cols) });
      copy(r, x, colsOf(joined, 0, x.cols));
      return joined;
    },
    // All of a tensor, then part of it again.
    (x) => {
      const y = linear(r, x, project(x, 40), { name: name() });
      linear(r, x, project(x, 16), { y: colsOf(y, 8, 16) });
      return y;
    },
    // Rows one by one, as spatial features are stacked.
    (x) => {
      const y = r.tensor(name(), rows, 24);
      const w = project(x, 24);
      for (let row = 0; row < rows; row++) linear(r, rowsOf(x, row, 1), w, { y: rowsOf(y, row, 1) });
      return y;
    },
    (x) => (x.cols > 16 ? colsOf(x, 3, 12) : x),
  ];
  for (let i = 0; i < length; i++) {
    const x = random.pick(live.slice(-3));
    live.push(steps[i < 2 ? i : random.below(steps.length)](x));
  }
  for (const t of live.slice(-3)) copy(r, t, b.output(t.rows, t.cols));
  // Errors of a dozen ops add up and pass through norms: 2e-5 is eight times the mean op's bound. Quantised, an activation
  // may round to the next of 127 codes when its f32 and float64 values straddle a half; stale or mixed-up values are far off.
  const limit = quantized ? 3e-2 : 2e-5;
  return b.finish({ label: quantized ? 'chain: quantized' : 'chain: random', tolerance: () => limit });
}

export const chainCases = (): Case[] =>
  [1, 2, 3, 4, 5, 6, 7, 8].flatMap((i) =>
    [1, 3, 5, 9].flatMap((rows) => [
      chain(9000 + 10 * i + rows, rows, 12, false),
      chain(9500 + 10 * i + rows, rows, 12, true),
    ]),
  );
