import { get, set, type Matrix } from './matrix.ts';

/**
 * The adaptive average pool of a grid x `[grid * grid, C]` to `kernel x kernel`, flattened to `[1, kernel * kernel * C]`
 * (specification section 3, "Pooling"): output j averages `floor(j * grid / kernel)` up to `ceil((j + 1) * grid / kernel)`.
 */
export function pool(x: Matrix, grid: number, kernel: number, y: Matrix): void {
  const begin = (j: number) => Math.floor((j * grid) / kernel);
  const end = (j: number) => Math.ceil(((j + 1) * grid) / kernel);
  for (let ky = 0; ky < kernel; ky++) {
    for (let kx = 0; kx < kernel; kx++) {
      for (let c = 0; c < x.cols; c++) {
        let sum = 0;
        let count = 0;
        for (let row = begin(ky); row < end(ky); row++) {
          for (let col = begin(kx); col < end(kx); col++) {
            sum += get(x, row * grid + col, c);
            count++;
          }
        }
        set(y, 0, (ky * kernel + kx) * x.cols + c, sum / count);
      }
    }
  }
}
