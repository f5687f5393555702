import { copy, crop, pool, unfold, colsOf } from '../../../packages/core/src/ops/index.ts';
import { CaseBuilder, type Case } from '../case.ts';

/** Every kernel of every grid, odd ones and grids that the kernel does not divide among them; x a view of wider rows. */
export function windowCases(): Case[] {
  const grids = [
    [1, 5],
    [2, 1],
    [3, 8],
    [5, 4],
    [7, 3],
    [8, 16],
    [12, 33],
    [24, 4],
  ];
  return grids.map(([grid, channels], i) => {
    const b = new CaseBuilder(`windows grid ${grid} channels ${channels}`, 8000 + i);
    const x = colsOf(b.input(grid * grid, channels + 2), 1, channels);
    for (let kernel = 1; kernel <= grid; kernel++) {
      const size = kernel * kernel * channels;
      copy(b.recorder, crop(b.recorder, x, grid, kernel, `crop ${kernel}`), b.output(1, size));
      copy(b.recorder, pool(b.recorder, x, grid, kernel, `pool ${kernel}`), b.output(1, size));
      for (const stride of [1, 2, 3]) {
        if (grid > 8 && (kernel * stride) % 4 !== 0) continue;
        const y = unfold(b.recorder, x, grid, kernel, stride, `unfold ${kernel} ${stride}`);
        copy(b.recorder, y, b.output(y.rows, y.cols));
      }
    }
    return b.finish({ label: (c) => c.op });
  });
}
