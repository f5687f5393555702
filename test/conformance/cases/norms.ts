import {
  layerNorm,
  rmsNorm,
  rowsOf,
  colsOf,
  type Command,
  copy,
} from '../../../packages/core/src/ops/index.ts';
import { largestMagnitude } from '../../support/tolerance.ts';
import { fillingNames } from '../../support/values.ts';
import { CaseBuilder, type Case } from '../case.ts';

const widths = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 64, 100, 257, 896];

/** Rows and widths around the vector width, and views of wider rows. */
function edges(): Case[] {
  return widths.map((cols, i) => {
    const b = new CaseBuilder(`norms cols ${cols}`, 5000 + i);
    const [w, bias] = [b.vector(cols), b.vector(cols)];
    for (const rows of [1, 2, 3, 5, 8]) {
      const x = colsOf(rowsOf(b.input(rows + 1, cols + 3), 1, rows), 2, cols);
      // One column has no spread: layer_norm of it is its bias, and the error is measured by |x| / sqrt(eps).
      if (cols > 1)
        copy(b.recorder, layerNorm(b.recorder, x, w, bias, 1e-5, `ln ${rows}`), b.output(rows, cols));
      copy(b.recorder, rmsNorm(b.recorder, x, w, 1e-6, `rms ${rows}`), b.output(rows, cols));
    }
    return b.finish({ label: (c) => c.op });
  });
}

function hostile(): Case[] {
  return fillingNames.flatMap((filling, i) =>
    [32, 129].map((cols, j) => {
      const b = new CaseBuilder(`norms hostile ${filling} cols ${cols}`, 5100 + 10 * i + j);
      const [w, bias] = [b.vector(cols), b.vector(cols)];
      const x = b.input(4, cols, filling);
      const values = Object.values(b.inputs)[0] as Float32Array;
      copy(b.recorder, layerNorm(b.recorder, x, w, bias, 1e-5, 'ln'), b.output(4, cols));
      copy(b.recorder, rmsNorm(b.recorder, x, w, 1e-5, 'rms'), b.output(4, cols));
      // x - mean cancels where all values are equal: its rounding error is that of x, times 1/sqrt(var + eps).
      const size = largestTerm(values, cols) * largestMagnitude(b.values.get(w.name) ?? []);
      const yardstick = (c: Command) => (c.op === 'layer_norm' ? size : undefined);
      return b.finish({ label: (c) => c.op, yardstick });
    }),
  );
}

/** The largest `|x| / sqrt(var + 1e-5)` of rows of `cols`. */
function largestTerm(x: Float32Array, cols: number): number {
  let largest = 1;
  for (let r = 0; r < x.length / cols; r++) {
    const row = x.subarray(r * cols, (r + 1) * cols);
    const mean = row.reduce((a, b) => a + b, 0) / cols;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / cols;
    largest = Math.max(largest, largestMagnitude(row) / Math.sqrt(variance + 1e-5));
  }
  return largest;
}

export const normCases = (): Case[] => [...edges(), ...hostile()];
