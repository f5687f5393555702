/** The map of the Detail Feature Integrator's attention, as a picture. */
import type { Explanation } from 'llava-sp';

type Tile = Explanation['tiles'][number];

/** Values in 0..1 of the largest, `[height, width]`; `values` is NaN where no position looks. */
export interface HeatMap {
  readonly values: Float32Array;
  readonly width: number;
  readonly height: number;
}

/** Cells of the longer side. */
const CELLS = 96;

/**
 * What one spatial token attends to: each position of F_ms sees a window of the picture, and windows overlap, so a cell has the
 * mean attention of the windows that cover it, those more whose centre is near. `null` for models without a DFI.
 */
export function averageHeat(tile: Tile, token: number, width: number, height: number): HeatMap | null {
  const { attention, positions, positionBoxes } = tile;
  if (!attention) return null;
  const scale = CELLS / Math.max(width, height);
  const columns = Math.max(1, Math.round(width * scale));
  const rows = Math.max(1, Math.round(height * scale));
  const sums = new Float32Array(columns * rows);
  const counts = new Float32Array(columns * rows);
  positionBoxes.forEach(([x1, y1, x2, y2], position) => {
    const weight = attention[token * positions + position];
    for (let y = Math.max(0, Math.floor(y1 * scale)); y < Math.min(rows, Math.ceil(y2 * scale)); y++) {
      for (let x = Math.max(0, Math.floor(x1 * scale)); x < Math.min(columns, Math.ceil(x2 * scale)); x++) {
        const near = nearness((x + 0.5) / scale, x1, x2) * nearness((y + 0.5) / scale, y1, y2);
        sums[y * columns + x] += weight * near;
        counts[y * columns + x] += near;
      }
    }
  });
  const values = sums.map((sum, i) => sum / counts[i]);
  const most = values.reduce((most, value) => (value > most ? value : most), 0);
  return { values: values.map((value) => value / (most || 1)), width: columns, height: rows };
}

/** 1 in the middle of a window, falling to its ends; never quite 0, for what lies at the picture's edge. */
function nearness(at: number, begin: number, end: number): number {
  return Math.max(1e-3, 1 - Math.abs((2 * at - begin - end) / (end - begin)));
}

/** Dark to light, so that it reads in grey too. */
const STOPS = [
  [13, 8, 60],
  [98, 14, 128],
  [190, 40, 100],
  [245, 125, 40],
  [252, 240, 150],
] as const;

/** RGB for 0..1. */
export function heatColour(value: number): readonly [number, number, number] {
  const at = Math.min(Math.max(value, 0), 1) * (STOPS.length - 1);
  const [from, to] = [STOPS[Math.floor(at)], STOPS[Math.ceil(at)]];
  const share = at - Math.floor(at);
  const mix = (i: 0 | 1 | 2): number => from[i] + (to[i] - from[i]) * share;
  return [mix(0), mix(1), mix(2)];
}

export function heatColours({ values, width, height }: HeatMap): ImageData {
  const image = new ImageData(width, height);
  values.forEach((value, i) => {
    if (Number.isNaN(value)) return;
    // Where it hardly looks, the picture is seen.
    image.data.set([...heatColour(value), 255 * (0.45 + 0.55 * value)], i * 4);
  });
  return image;
}

/** Which position has the largest share, and how large it is. */
export function strongest(tile: Tile, token: number): { position: number; share: number } | null {
  const { attention, positions } = tile;
  if (!attention) return null;
  const row = attention.subarray(token * positions, (token + 1) * positions);
  const share = Math.max(...row);
  return { position: row.indexOf(share), share };
}
