import { get, set, type Matrix } from './matrix.ts';

/** Every `kernel x kernel` window of a grid x `[grid * grid, C]` at a stride: y `[o * o, kernel * kernel * C]`. */
export function unfold(x: Matrix, grid: number, kernel: number, stride: number, y: Matrix): void {
  const out = Math.floor((grid - kernel) / stride) + 1;
  for (let oy = 0; oy < out; oy++) {
    for (let ox = 0; ox < out; ox++) {
      for (let ky = 0; ky < kernel; ky++) {
        for (let kx = 0; kx < kernel; kx++) {
          for (let c = 0; c < x.cols; c++) {
            const from = (oy * stride + ky) * grid + ox * stride + kx;
            set(y, oy * out + ox, (ky * kernel + kx) * x.cols + c, get(x, from, c));
          }
        }
      }
    }
  }
}
