/** Pictures cut into tiles of the vision tower's input size (specification, section 1), as Hugging Face and InternVL do. */
import type { Geometry } from './boxes.ts';
import type { Pixels } from './pixels.ts';
import { normalised } from './preprocess.ts';
import type { PreprocessorConfig } from './preprocessor.ts';
import { resizeBicubic } from './resize.ts';

/** LLaVA-1.6: the whole picture first, then the tiles of one of these sizes, `[height, width]` in pixels. */
export interface Anyres {
  readonly type: 'anyres';
  readonly pinpoints: readonly (readonly [height: number, width: number])[];
}

/** InternVL: `min` to `max` tiles by the closest aspect ratio, and where there is more than one, a thumbnail last. */
export interface DynamicTiles {
  readonly type: 'dynamic';
  readonly min: number;
  readonly max: number;
  readonly thumbnail: boolean;
}

export type Tiling = Anyres | DynamicTiles;

/** How a picture is cut: `columns x rows` tiles of it, in rows, and possibly the whole of it on a tile of its own. */
export interface Tiles {
  readonly columns: number;
  readonly rows: number;
  /** Where among the tiles the whole picture comes. */
  readonly whole: 'first' | 'last' | 'none';
  readonly sourceWidth: number;
  readonly sourceHeight: number;
}

export interface TiledPicture extends Tiles {
  /** Each tile `[height, width, 3]`, in the order of the model. */
  readonly tiles: readonly Pixels[];
  /** How each of them lies on the source. */
  readonly frames: readonly Geometry[];
}

/** How a picture of this size is cut into tiles of `side` pixels. */
export function chooseTiles(width: number, height: number, tiling: Tiling, side: number): Tiles {
  const source = { sourceWidth: width, sourceHeight: height };
  if (tiling.type === 'anyres') {
    const [h, w] = bestResolution(width, height, tiling.pinpoints);
    return { columns: w / side, rows: h / side, whole: 'first', ...source };
  }
  const [columns, rows] = closestRatio(width, height, tiling, side);
  const whole = tiling.thumbnail && columns * rows > 1 ? 'last' : 'none';
  return { columns, rows, whole, ...source };
}

/** The 8-bit part of {@link preprocessTiles}: tiles of `side x side` pixels, equal to Pillow's to the last bit. */
export function cutTiles(src: Pixels, tiling: Tiling, side: number): TiledPicture {
  const chosen = chooseTiles(src.width, src.height, tiling, side);
  const { columns, rows, whole } = chosen;
  const tiles: Pixels[] = [];
  const wide = columns * side;
  const high = rows * side;
  const fitted = tiling.type === 'anyres' ? fitInside(src, wide, high) : { width: wide, height: high };
  // anyres centres the picture on black; InternVL stretches it over all tiles.
  const left = Math.floor((wide - fitted.width) / 2);
  const top = Math.floor((high - fitted.height) / 2);
  const resized = resizeBicubic(src, fitted.width, fitted.height);
  const frames: Geometry[] = [];
  const frame = (size: { width: number; height: number }, x: number, y: number): Geometry => ({
    sourceWidth: src.width,
    sourceHeight: src.height,
    canvasWidth: src.width,
    canvasHeight: src.height,
    offsetX: 0,
    offsetY: 0,
    resizedWidth: size.width,
    resizedHeight: size.height,
    cropX: x,
    cropY: y,
    width: side,
    height: side,
  });
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [x, y] = [column * side - left, row * side - top];
      tiles.push(windowOf(resized, x, y, side));
      frames.push(frame(fitted, x, y));
    }
  }
  if (whole !== 'none') {
    const at = whole === 'first' ? 0 : tiles.length;
    tiles.splice(at, 0, resizeBicubic(src, side, side));
    frames.splice(at, 0, frame({ width: side, height: side }, 0, 0));
  }
  return { ...chosen, tiles, frames };
}

/**
 * The model's inputs: every tile `[3, side, side]`, and how they lie. Boxes refer to the picture itself,
 * which fills a tile of its own without padding.
 */
export function preprocessTiles(
  src: Pixels,
  config: PreprocessorConfig,
  tiling: Tiling,
  side: number,
): { inputs: Float32Array[]; grid: Tiles; geometry: Geometry; frames: readonly Geometry[] } {
  const { tiles, frames, ...grid } = cutTiles(src, tiling, side);
  const inputs = tiles.map((tile) => normalised(tile, config));
  const geometry: Geometry = {
    sourceWidth: src.width,
    sourceHeight: src.height,
    canvasWidth: src.width,
    canvasHeight: src.height,
    offsetX: 0,
    offsetY: 0,
    resizedWidth: side,
    resizedHeight: side,
    cropX: 0,
    cropY: 0,
    width: side,
    height: side,
  };
  return { inputs, grid, geometry, frames };
}

/** Hugging Face's `select_best_resolution`: the largest effective area, then the least wasted; the first of equals. */
function bestResolution(
  width: number,
  height: number,
  pinpoints: Anyres['pinpoints'],
): readonly [height: number, width: number] {
  let best = pinpoints[0];
  let most = 0;
  let least = Infinity;
  for (const pinpoint of pinpoints) {
    const [h, w] = pinpoint;
    const scale = Math.min(w / width, h / height);
    const scaled = Math.trunc(width * scale) * Math.trunc(height * scale);
    const effective = Math.min(scaled, width * height);
    const wasted = w * h - effective;
    if (effective > most || (effective === most && wasted < least)) {
      best = pinpoint;
      most = effective;
      least = wasted;
    }
  }
  return best;
}

/** The size of a picture that fits inside, its shorter side rounded up: Hugging Face's `get_patch_output_size`. */
function fitInside(src: Pixels, width: number, height: number): { width: number; height: number } {
  const scaleX = width / src.width;
  const scaleY = height / src.height;
  if (scaleX < scaleY) return { width, height: Math.min(Math.ceil(src.height * scaleX), height) };
  return { width: Math.min(Math.ceil(src.width * scaleY), width), height };
}

/**
 * InternVL's `find_closest_aspect_ratio`: of all `columns x rows` within the limits, fewer tiles first, the one whose
 * ratio is closest; of equally close ones the later, if the picture has more than half the pixels of its tiles.
 */
function closestRatio(
  width: number,
  height: number,
  { min, max }: DynamicTiles,
  side: number,
): readonly [columns: number, rows: number] {
  const aspect = width / height;
  let best: readonly [number, number] = [1, 1];
  let closest = Infinity;
  for (const ratio of ratios(min, max)) {
    const difference = Math.abs(aspect - ratio[0] / ratio[1]);
    if (difference < closest) {
      closest = difference;
      best = ratio;
    } else if (difference === closest && width * height > 0.5 * side * side * ratio[0] * ratio[1]) {
      best = ratio;
    }
  }
  return best;
}

function ratios(min: number, max: number): [columns: number, rows: number][] {
  const all: [number, number][] = [];
  for (let columns = 1; columns <= max; columns++) {
    for (let rows = 1; rows * columns <= max; rows++) {
      if (rows * columns >= min) all.push([columns, rows]);
    }
  }
  return all.sort((a, b) => a[0] * a[1] - b[0] * b[1]);
}

/** `side x side` pixels from `(x, y)`, black where there is no picture. */
function windowOf(src: Pixels, x: number, y: number, side: number): Pixels {
  const data = new Uint8Array(side * side * 3);
  const from = Math.max(x, 0);
  const to = Math.min(x + side, src.width);
  for (let row = Math.max(y, 0); row < Math.min(y + side, src.height) && from < to; row++) {
    const line = src.data.subarray((row * src.width + from) * 3, (row * src.width + to) * 3);
    data.set(line, ((row - y) * side + from - x) * 3);
  }
  return { data, width: side, height: side, channels: 3 };
}
