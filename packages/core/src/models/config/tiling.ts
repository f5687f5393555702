import type { Fields } from '../fields.ts';
import { tileCounts } from './limits.ts';
import type { AnyresConfig, DynamicTilingConfig, ModelConfig, VisionConfig } from './types.ts';

/** `image_aspect_ratio` and what belongs to it. */
export function parseAspect(
  config: Fields,
  { imageSize }: VisionConfig,
): Pick<ModelConfig, 'imageAspectRatio' | 'tiling'> {
  const aspect = config.oneOf(
    'image_aspect_ratio',
    ['pad', 'original', 'square', 'anyres', 'dynamic'],
    'original',
  );
  const imageAspectRatio = aspect === 'pad' ? 'pad' : 'original';
  if (aspect === 'anyres') return { imageAspectRatio, tiling: parseAnyres(config, imageSize) };
  if (aspect === 'dynamic') return { imageAspectRatio, tiling: parseDynamic(config) };
  return { imageAspectRatio, tiling: null };
}

function parseAnyres(config: Fields, tile: number): AnyresConfig {
  const listed = config.raw('image_grid_pinpoints');
  const most = tileCounts.max;
  const fits = (pair: unknown): pair is [number, number] => {
    if (!Array.isArray(pair) || pair.length !== 2) return false;
    const [rows, columns] = pair.map((side) => Number(side) / tile);
    return pair.every(Number.isInteger) && rows >= 1 && columns >= 1 && rows * columns <= most;
  };
  const whole = ([height, width]: [number, number]) => height % tile === 0 && width % tile === 0;
  const valid =
    Array.isArray(listed) &&
    listed.length >= 1 &&
    listed.length <= most &&
    listed.every(fits) &&
    listed.every(whole);
  if (!valid) {
    throw config.error(
      'image_grid_pinpoints',
      `1 to ${most} pairs [height, width] of multiples of ${tile} pixels, of at most ${most} tiles each`,
    );
  }
  return {
    type: 'anyres',
    tile,
    pinpoints: listed.map(([height, width]): [number, number] => [height, width]),
    merge: config.oneOf('mm_patch_merge_type', ['spatial_unpad', 'flat'], 'flat'),
  };
}

function parseDynamic(config: Fields): DynamicTilingConfig {
  const max = config.integer('max_dynamic_patch', tileCounts, 12);
  const min = config.integer('min_dynamic_patch', { min: 1, max }, 1);
  return { type: 'dynamic', min, max, thumbnail: config.boolean('use_thumbnail', true) };
}
