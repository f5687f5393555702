import {
  activation,
  assembleCls,
  colsOf,
  copy,
  embed,
  linear,
  linearTolerance,
  patchify,
  rowsOf,
  swiglu,
  take,
  type Activation,
} from '../../../packages/core/src/ops/index.ts';
import { fillingNames } from '../../support/values.ts';
import { CaseBuilder, type Case } from '../case.ts';

const acts: Activation[] = ['none', 'gelu', 'quick_gelu', 'gelu_tanh', 'silu', 'relu'];

function activations(): Case[] {
  return acts.map((act, i) => {
    const b = new CaseBuilder(`activation ${act}`, 7000 + i);
    for (const filling of fillingNames) {
      for (const [rows, cols] of [
        [1, 1],
        [2, 7],
        [3, 33],
        [5, 64],
      ]) {
        const x = b.input(rows, cols, filling);
        copy(b.recorder, activation(b.recorder, x, act, 'y'), b.output(rows, cols));
        copy(b.recorder, swiglu(b.recorder, x, b.input(rows, cols), 's'), b.output(rows, cols));
      }
    }
    // The whole range in small steps, out to where both tails are flat, and far past it.
    const ramp = Float32Array.from({ length: 4001 }, (_, j) => (j - 2000) / 100);
    copy(b.recorder, activation(b.recorder, b.input(1, 4001, ramp), act, 'ramp'), b.output(1, 4001));
    for (const value of [-1e4, -200, -100, -90, 90, 100, 200, 1e4]) {
      const x = b.input(1, 5, new Float32Array(5).fill(value));
      copy(b.recorder, activation(b.recorder, x, act, 'far'), b.output(1, 5));
    }
    return b.finish({ label: (c) => (c.op === 'activation' ? `activation ${act}` : c.op) });
  });
}

/** Where x^3 overflows and kernels bound e^x: finite, and right by the size of x. */
function extremeActivations(): Case[] {
  return acts.flatMap((act, i) =>
    [-3e38, -1e20, 1e20, 3e38].map((value, j) => {
      const b = new CaseBuilder(`activation ${act} at ${value}`, 7050 + 10 * i + j);
      const x = b.input(1, 5, new Float32Array(5).fill(value));
      copy(b.recorder, activation(b.recorder, x, act, 'y'), b.output(1, 5));
      return b.finish({ label: `activation ${act}`, yardstick: () => Math.abs(value) });
    }),
  );
}

function copies(): Case[] {
  return [1, 2, 3, 4, 5, 8, 31, 65].map((cols, i) => {
    const b = new CaseBuilder(`copy cols ${cols}`, 7100 + i);
    for (const rows of [1, 2, 9]) {
      const x = b.input(rows + 2, cols + 5);
      const y = b.output(rows + 3, cols + 7);
      copy(b.recorder, colsOf(rowsOf(x, 1, rows), 3, cols), colsOf(rowsOf(y, 2, rows), 6, cols));
      copy(b.recorder, rowsOf(colsOf(x, 0, cols), 0, 1), rowsOf(colsOf(y, 0, cols), 0, 1));
    }
    return b.finish({ label: 'copy' });
  });
}

function patches(): Case[] {
  const shapes = [
    [3, 1, 1],
    [3, 2, 2],
    [1, 3, 5],
    [3, 4, 14],
    [4, 5, 8],
    [3, 12, 7],
  ];
  return shapes.map(([channels, grid, patch], i) => {
    const b = new CaseBuilder(`patchify channels ${channels} grid ${grid} patch ${patch}`, 7200 + i);
    const pixels = b.input(1, channels * (grid * patch) ** 2);
    const y = patchify(b.recorder, pixels, channels, grid, patch);
    copy(b.recorder, y, b.output(y.rows, y.cols));
    const width = [1, 3, 8, 20, 33, 64][i];
    const rows = b.input(grid * grid, width);
    const z = assembleCls(b.recorder, rows, b.vector(width), b.vector((grid * grid + 1) * width), 'z');
    copy(b.recorder, z, b.output(z.rows, z.cols));
    const bare = assembleCls(b.recorder, rows, null, b.vector(grid * grid * width), 'bare');
    copy(b.recorder, bare, b.output(bare.rows, bare.cols));
    return b.finish({ label: (c) => c.op });
  });
}

/** Views of wider tensors on both sides, ids at and past the end. */
function takes(): Case[] {
  return [1, 3, 8, 33, 64].map((cols, i) => {
    const b = new CaseBuilder(`take cols ${cols}`, 7700 + i);
    for (const [n, rows] of takeSizes) {
      const table = b.input(n + 1, cols + 3);
      const y = b.output(rows + 1, cols + 2);
      const from = colsOf(rowsOf(table, 1, n), 2, cols);
      take(b.recorder, from, b.ids(takeIds(b, n, rows)), colsOf(rowsOf(y, 1, rows), 1, cols));
    }
    return b.finish({ label: 'take' });
  });
}

const takeSizes = [
  [1, 1],
  [2, 9],
  [40, 33],
] as const;

function takeIds(b: CaseBuilder, n: number, rows: number): Uint32Array {
  const ids = Uint32Array.from({ length: rows }, () => b.random.below(n));
  ids[rows - 1] = n;
  if (rows > 2) ids[1] = 0xffffffff;
  return ids;
}

/** From a table that a linear leaves split between threads; its error is the linear's. */
function takesOfSplit(): Case[] {
  return [8, 33].map((cols, i) => {
    const b = new CaseBuilder(`take of a linear's ${cols} columns`, 7750 + i);
    for (const [n, rows] of takeSizes) {
      const w = b.matrix(cols, cols, { format: 'f32' });
      const table = linear(b.recorder, b.input(n, cols), w);
      take(b.recorder, table, b.ids(takeIds(b, n, rows)), b.output(rows, cols));
    }
    const { base, growth } = linearTolerance;
    const tolerance = () => base + growth * Math.sqrt(cols);
    return b.finish({ label: (c) => c.op, yardstick: () => Math.sqrt(cols), tolerance });
  });
}

function embeddings(): Case[] {
  const forms = [
    { format: 'f32', k: 7 },
    { format: 'f32', k: 64 },
    { format: 'f16', k: 9 },
    { format: 'f16', dtype: 'BF16', k: 16 },
    { format: 'q8', group: 32, k: 96 },
    { format: 'q8', group: 128, k: 128 },
    { format: 'q4', group: 32, k: 160 },
    { format: 'q4', group: 64, k: 64 },
    { format: 'q4', group: 128, k: 256 },
  ] as const;
  return forms.flatMap(({ k, ...storing }, i) =>
    [1, 8, 37, 100].map((vocab, j) => {
      const b = new CaseBuilder(`embed ${storing.format} vocab ${vocab} width ${k}`, 7300 + 10 * i + j);
      const w = b.matrix(vocab, k, storing);
      for (const rows of [1, 2, 9, 33]) {
        const ids = Uint32Array.from({ length: rows }, () => b.random.below(vocab));
        ids[0] = vocab - 1;
        ids[rows - 1] = rows === 1 ? vocab - 1 : 0;
        const y = b.output(rows + 2, k);
        embed(b.recorder, b.ids(ids), w, rowsOf(y, 1, rows));
      }
      return b.finish({ label: `embed ${storing.format}` });
    }),
  );
}

export const elementwiseCases = (): Case[] => [
  ...activations(),
  ...extremeActivations(),
  ...copies(),
  ...takes(),
  ...takesOfSplit(),
  ...patches(),
  ...embeddings(),
];
