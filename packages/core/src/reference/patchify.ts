import { dense, set, type Matrix } from './matrix.ts';

/**
 * Pixels `[channels, grid * patch, grid * patch]` to patches `[grid * grid, channels * patch * patch]`, each in the order
 * `[channel, row, column]`.
 */
export function patchify(pixels: Matrix, channels: number, grid: number, patch: number, y: Matrix): void {
  const values = dense(pixels);
  const side = grid * patch;
  for (let gy = 0; gy < grid; gy++) {
    for (let gx = 0; gx < grid; gx++) {
      for (let c = 0; c < channels; c++) {
        for (let py = 0; py < patch; py++) {
          for (let px = 0; px < patch; px++) {
            const from = (c * side + gy * patch + py) * side + gx * patch + px;
            set(y, gy * grid + gx, (c * patch + py) * patch + px, values[from]);
          }
        }
      }
    }
  }
}
