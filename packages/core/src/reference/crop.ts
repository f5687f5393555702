import { get, set, type Matrix } from './matrix.ts';

/**
 * The centred `kernel x kernel` window of a grid x `[grid * grid, C]`, flattened to `[1, kernel * kernel * C]`
 * (specification section 3, "Cropping"). The window starts at `floor((grid - kernel) / 2)`.
 */
export function crop(x: Matrix, grid: number, kernel: number, y: Matrix): void {
  const start = Math.floor((grid - kernel) / 2);
  for (let ky = 0; ky < kernel; ky++) {
    for (let kx = 0; kx < kernel; kx++) {
      for (let c = 0; c < x.cols; c++) {
        set(y, 0, (ky * kernel + kx) * x.cols + c, get(x, (start + ky) * grid + start + kx, c));
      }
    }
  }
}
