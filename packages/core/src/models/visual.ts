/** How many visual tokens a picture has, and in which order they come (specification section 5). */
import type { ModelConfig, TilingConfig } from './config/types.ts';

/** How a picture was cut: `columns x rows` tiles of it, in rows, and possibly the whole of it on a tile of its own. */
export interface TileGrid {
  readonly columns: number;
  readonly rows: number;
  /** Where among the tiles the whole picture comes. */
  readonly whole: 'first' | 'last' | 'none';
  /** Of the picture, in pixels. */
  readonly sourceWidth: number;
  readonly sourceHeight: number;
}

/** Patch tokens along a side of one tile: G, or half of it with the pixel shuffle. */
export function patchSide({ vision, downsample }: ModelConfig): number {
  return vision.grid / downsample;
}

/** Visual tokens of one input of the vision tower: N spatial tokens, then its patch tokens. */
export function visualTokenCount(config: ModelConfig): number {
  return (config.spatial?.tokens ?? 0) + patchSide(config) ** 2;
}

/** Tiles of a picture, the whole one included. */
export function tileCount({ columns, rows, whole }: TileGrid): number {
  return columns * rows + (whole === 'none' ? 0 : 1);
}

/** The most tiles that a picture can have. */
export function mostTiles({ tiling }: ModelConfig): number {
  return tiling ? Math.max(...extremes(tiling).map(tileCount)) : 1;
}

/** The fewest and the most visual tokens that a picture can have. */
export function visualTokenRange(config: ModelConfig): { least: number; most: number } {
  const { tiling } = config;
  const one = visualTokenCount(config);
  if (!tiling) return { least: one, most: one };
  const counts = extremes(tiling).map((grid) => tokensOf(config, grid));
  return { least: Math.min(...counts), most: Math.max(...counts) };
}

/**
 * Where each visual token of a picture lies, in the order of the prompt: spatial tokens of every tile first, tile by
 * tile, then the patch tokens. Row `t * T + i` is token i of tile t, with T tokens a tile; row `mostTiles * T` is
 * `image_newline`.
 */
export function visualOrder(config: ModelConfig, grid: TileGrid): Uint32Array {
  const spatial = config.spatial?.tokens ?? 0;
  const side = patchSide(config);
  const perTile = visualTokenCount(config);
  const tiles = tileCount(grid);
  const order: number[] = [];
  const patches = (tile: number): void => {
    for (let i = 0; i < side * side; i++) order.push(tile * perTile + spatial + i);
  };
  for (let t = 0; t < tiles; t++) for (let i = 0; i < spatial; i++) order.push(t * perTile + i);
  if (!merges(config)) {
    for (let t = 0; t < tiles; t++) patches(t);
    return Uint32Array.from(order);
  }
  const newline = mostTiles(config) * perTile;
  patches(0);
  const { top, bottom, left, right } = unpadded(grid, side);
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const tile = 1 + Math.floor(y / side) * grid.columns + Math.floor(x / side);
      order.push(tile * perTile + spatial + (y % side) * side + (x % side));
    }
    order.push(newline);
  }
  return Uint32Array.from(order);
}

/** Whether the tiles' patches are joined to one grid, its rows ended by `image_newline`. */
export function merges({ tiling }: ModelConfig): boolean {
  return tiling?.type === 'anyres' && tiling.merge === 'spatial_unpad';
}

/** The grids among which a configuration's fewest and most tokens are. */
function extremes(tiling: TilingConfig): TileGrid[] {
  if (tiling.type === 'dynamic') {
    const whole = (tiles: number) => (tiling.thumbnail && tiles > 1 ? 'last' : 'none');
    return [tiling.min, tiling.max].map((tiles) => ({
      columns: tiles,
      rows: 1,
      whole: whole(tiles),
      sourceWidth: tiles,
      sourceHeight: 1,
    }));
  }
  return tiling.pinpoints.flatMap(([height, width]) => {
    const cut = { columns: width / tiling.tile, rows: height / tiling.tile, whole: 'first' as const };
    // A picture of the very ratio keeps all rows; one that is a line keeps next to none.
    return [
      { ...cut, sourceWidth: width, sourceHeight: height },
      { ...cut, sourceWidth: 1e9, sourceHeight: 1 },
      { ...cut, sourceWidth: 1, sourceHeight: 1e9 },
    ];
  });
}

function tokensOf(config: ModelConfig, grid: TileGrid): number {
  const tiles = tileCount(grid);
  if (!merges(config)) return tiles * visualTokenCount(config);
  const { top, bottom, left, right } = unpadded(grid, patchSide(config));
  const merged = (bottom - top) * (right - left + 1);
  return tiles * (config.spatial?.tokens ?? 0) + patchSide(config) ** 2 + merged;
}

/**
 * The rows and columns of the merged patch grid that are not padding, as Hugging Face's `unpad_image` finds them: from
 * the picture's ratio and the grid's, rounded to seven decimals, then down.
 */
function unpadded(
  { columns, rows, sourceWidth, sourceHeight }: TileGrid,
  side: number,
): { top: number; bottom: number; left: number; right: number } {
  const width = columns * side;
  const height = rows * side;
  const whole = { top: 0, bottom: height, left: 0, right: width };
  if (sourceWidth / sourceHeight > width / height) {
    const kept = Math.floor(Number((sourceHeight * (width / sourceWidth)).toFixed(7)));
    const padding = Math.floor((height - kept) / 2);
    return { ...whole, top: padding, bottom: height - padding };
  }
  const kept = Math.floor(Number((sourceWidth * (height / sourceHeight)).toFixed(7)));
  const padding = Math.floor((width - kept) / 2);
  return { ...whole, left: padding, right: width - padding };
}
