import {
  colsOf,
  linear,
  rowsOf,
  type Activation,
  type Command,
  type Tensor,
} from '../../../packages/core/src/ops/index.ts';
import { inMemory, type Storing } from '../../support/weights.ts';
import { largestMagnitude } from '../../support/tolerance.ts';
import { fillingNames, type Filling } from '../../support/values.ts';
import { CaseBuilder, edgeCols, edgeRows, type Case } from '../case.ts';

const activations: Activation[] = ['none', 'gelu', 'quick_gelu', 'gelu_tanh', 'silu', 'relu'];

/** Up to this many rows a backend may take its matrix-vector kernels; for the table of errors only. */
const gemvRows = 3;

/** The standard deviation of a sum of k products of standard normals; one output alone may be near zero by chance. */
const typical = (c: Command) => (c.op === 'linear' ? Math.sqrt(c.w.k) : undefined);

function label(storing: Storing) {
  return (command: Command) =>
    command.op === 'linear'
      ? `linear ${storing.format} ${command.x.rows <= gemvRows ? 'gemv' : 'gemm'}`
      : command.op;
}

const stored: { storing: Storing; widths: number[] }[] = [
  { storing: { format: 'f32' }, widths: [1, 2, 3, 5, 8, 17, 31, 32, 64, 70] },
  { storing: { format: 'f16' }, widths: [1, 3, 4, 7, 8, 9, 33, 64, 100] },
  { storing: { format: 'f16', dtype: 'BF16' }, widths: [1, 40] },
  { storing: { format: 'q8', group: 32 }, widths: [32, 64, 96, 160] },
  { storing: { format: 'q8', group: 64 }, widths: [64, 192] },
  { storing: { format: 'q8', group: 128 }, widths: [128, 384] },
  { storing: { format: 'q8', group: 64, dtype: 'BF16' }, widths: [128] },
  { storing: { format: 'q4', group: 32 }, widths: [32, 64, 96, 160] },
  { storing: { format: 'q4', group: 64 }, widths: [64, 192, 896] },
  { storing: { format: 'q4', group: 128 }, widths: [128, 384] },
  { storing: { format: 'q4', group: 64, dtype: 'BF16' }, widths: [128] },
];

/** Every count of rows against one weight: y, with and without bias, residual and activation in turn. */
function edges(): Case[] {
  const cases: Case[] = [];
  let seed = 100;
  for (const { storing, widths } of stored) {
    widths.forEach((k, turn) => {
      for (const n of edgeCols) {
        const { format, group = 0, dtype = '' } = storing;
        const b = new CaseBuilder(`linear ${format}${dtype} group ${group} n ${n} k ${k}`, seed++);
        const w = b.matrix(n, k, storing);
        const bias = b.vector(n);
        edgeRows.forEach((rows, i) => {
          linear(b.recorder, b.input(rows, k), w, {
            bias: i % 2 === 0 ? bias : undefined,
            residual: i % 3 === 0 ? b.input(rows, n) : undefined,
            act: activations[(i + turn) % activations.length],
            y: b.output(rows, n),
          });
        });
        cases.push(b.finish({ label: label(storing), yardstick: typical }));
      }
    });
  }
  return cases;
}

/** Hostile x and w: the error is measured by the sums of `|x| |w|`, since sums may cancel to nothing. */
function hostile(): Case[] {
  const cases: Case[] = [];
  let seed = 2000;
  for (const storing of [
    { format: 'f32' },
    { format: 'f16' },
    { format: 'q8', group: 32 },
    { format: 'q4', group: 64 },
  ] as const) {
    for (const filling of fillingNames) {
      const wFilling: Filling = filling === 'large' ? 'small' : filling === 'subnormal' ? 'normal' : filling;
      const b = new CaseBuilder(`linear ${storing.format} hostile ${filling}`, seed++);
      const [n, k] = [33, 128];
      const w = b.matrix(n, k, storing, { filling: wFilling });
      const sizes = new Map<Tensor, number>();
      for (const rows of [1, 2, 5, 9]) {
        const x = b.input(rows, k, filling);
        const y = linear(b.recorder, x, w, { y: b.output(rows, n) });
        const xs = Object.values(b.inputs).at(-1) as Float32Array;
        sizes.set(y, cancelling(xs, b.values.get(w.name) ?? xs, rows, n, k));
      }
      const yardstick = (c: Command) => (c.op === 'linear' ? sizes.get(c.y) : undefined);
      cases.push(b.finish({ label: label(storing), yardstick }));
    }
  }
  return cases;
}

/** The largest `sum_k |x| |w|` over rows and outputs: what an f32 sum's rounding is proportional to. */
function cancelling(x: Float32Array, w: Float32Array, rows: number, n: number, k: number): number {
  let largest = 0;
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < n; o++) {
      let sum = 0;
      for (let i = 0; i < k; i++) sum += Math.abs(x[r * k + i] * w[o * k + i]);
      largest = Math.max(largest, sum);
    }
  }
  return largest;
}

/** Views: x a slice of wider rows, y columns of a wider tensor, the residual y itself, some rows of a tensor. */
function views(): Case[] {
  let seed = 3000;
  return ([{ format: 'f32' }, { format: 'f16' }, { format: 'q8' }, { format: 'q4' }] as const).flatMap(
    (storing) =>
      [1, 3, 6, 9].map((rows) => {
        const b = new CaseBuilder(`linear ${storing.format} views rows ${rows}`, seed++);
        const [n, k] = [40, 64];
        const wide = b.input(rows + 2, k + 32);
        const w = b.matrix(n, k, storing);
        const first = linear(b.recorder, rowsOf(colsOf(wide, 16, k), 1, rows), w, { y: b.output(rows, n) });
        linear(b.recorder, colsOf(rowsOf(wide, 0, rows), 32, k), w, {
          residual: first,
          y: first,
          act: 'silu',
        });
        const joined = b.output(rows + 1, 2 * n + 3);
        const top = rowsOf(joined, 0, rows);
        linear(b.recorder, rowsOf(colsOf(wide, 0, k), 2, rows), w, { y: colsOf(top, 0, n) });
        linear(b.recorder, rowsOf(colsOf(wide, 0, k), 0, rows), w, {
          y: colsOf(top, n + 3, n),
          residual: first,
        });
        return b.finish({ label: label(storing), yardstick: typical });
      }),
  );
}

/** Convolution weights: the file has them as `[out, in, k, k]`, rows of x as `[k, k, in]`. */
function convolutions(): Case[] {
  return ([{ format: 'f32' }, { format: 'f16' }] as const).flatMap((storing, i) =>
    [1, 2, 3].map((kernel) => {
      const b = new CaseBuilder(`linear ${storing.format} convolution ${kernel}`, 3100 + 10 * i + kernel);
      const w = b.matrix(19, kernel * kernel * 12, storing, { kernel });
      for (const rows of [1, 9]) linear(b.recorder, b.input(rows, w.k), w, { y: b.output(rows, 19) });
      return b.finish({ label: label(storing), yardstick: typical });
    }),
  );
}

/** Heads as units: cuts between threads fall at their borders, also where there are fewer heads than threads. */
function units(): Case[] {
  return [1, 2, 3, 5, 14].flatMap((heads) =>
    ([{ format: 'f32' }, { format: 'q4', group: 32 }] as const).map((storing, i) => {
      const b = new CaseBuilder(`linear ${storing.format} units ${heads}`, 3200 + 10 * heads + i);
      const w = b.matrix(heads * 12, 64, storing, { units: heads });
      for (const rows of [1, 6]) {
        linear(b.recorder, b.input(rows, 64), w, { bias: b.vector(w.n), y: b.output(rows, w.n) });
      }
      return b.finish({ label: label(storing), yardstick: typical });
    }),
  );
}

/**
 * Scales in f32 that no f16 holds exactly: kernels keep 16-bit scales, so each product may be off by half an ulp of f16,
 * 2^-11, and so may the sum of their sizes.
 */
function wideScales(): Case[] {
  return (['q8', 'q4'] as const).flatMap((format, i) =>
    ([1e-9, 1, 1e6] as const).map((size, j) => {
      const b = new CaseBuilder(`linear ${format} f32 scales of size ${size}`, 3400 + 10 * i + j);
      const [n, k, group] = [24, 128, 64];
      const ref = b.recorder.matrix(`${b.name}.w`, n, k);
      const scales = Float32Array.from({ length: (n * k) / group }, () => b.random.normal() * size);
      const biases = scales.map((s) => -s * (format === 'q4' ? 7.5 : 127.5) * (0.5 + b.random.uniform()));
      const codes = Uint8Array.from({ length: format === 'q4' ? (n * k) / 2 : n * k }, () =>
        b.random.below(256),
      );
      const bytes = (a: Float32Array) => new Uint8Array(a.buffer);
      b.weights.push(
        inMemory(ref, format, 'F32', group, { values: codes, scales: bytes(scales), biases: bytes(biases) }),
      );
      for (const rows of [1, 5]) linear(b.recorder, b.input(rows, k), ref, { y: b.output(rows, n) });
      const reach = largestMagnitude(scales) * (format === 'q4' ? 15 : 255) + largestMagnitude(biases);
      return b.finish({
        label: `linear ${format} f32 scales`,
        yardstick: () => reach * k,
        tolerance: () => 2 ** -11,
      });
    }),
  );
}

export const linearCases = (): Case[] => [
  ...edges(),
  ...hostile(),
  ...views(),
  ...convolutions(),
  ...units(),
  ...wideScales(),
];
