import { LoadError } from '../errors/index.ts';
import type { Geometry } from '../image/boxes.ts';
import type { Pixels } from '../image/pixels.ts';
import { fit, preprocess, type PreprocessorConfig } from '../image/preprocess.ts';
import { preprocessTiles } from '../image/tiling.ts';
import type { ModelConfig } from '../models/config.ts';
import { visualOrder, visualTokenCount } from '../models/visual.ts';

/**
 * A picture as the model takes it. What the image is encoded from again when a lost device took its prefix: kept instead of
 * the picture, because it has one size however large the photo is, and is not resized twice.
 */
export interface Picture {
  /** Inputs of the vision tower `[channels, side, side]`, one after another. */
  readonly inputs: readonly Float32Array[];
  /** Which visual tokens come where, as `visualOrder` counts them; `null`: those of the one input, as they are. */
  readonly order: Uint32Array | null;
  /** Visual tokens. */
  readonly tokens: number;
  /** How boxes in answers lie on the source. */
  readonly geometry: Geometry;
  /** How each input lies on the source. */
  readonly frames: readonly Geometry[];
}

/**
 * Preprocesses a picture.
 *
 * @throws {LoadError} `CONFIG_INVALID` when the image processor makes another size than the vision tower takes.
 */
export function pictureOf(config: ModelConfig, preprocessor: PreprocessorConfig, image: Pixels): Picture {
  const { tiling } = config;
  const { imageSize } = config.vision;
  if (!tiling) {
    const { pixels, width, height, geometry } = preprocess(image, preprocessor, config.imageAspectRatio);
    checkSize(width, height, imageSize);
    return { inputs: [pixels], order: null, tokens: visualTokenCount(config), geometry, frames: [geometry] };
  }
  const { inputs, grid, geometry, frames } = preprocessTiles(image, preprocessor, tiling, imageSize);
  const order = visualOrder(config, grid);
  return { inputs, order, tokens: order.length, geometry, frames };
}

/**
 * Finds a wrong size when the model is loaded, and not when somebody asks.
 *
 * @throws {LoadError} `CONFIG_INVALID`.
 */
export function checkPreprocessor(config: ModelConfig, preprocessor: PreprocessorConfig): void {
  const dot: Pixels = { data: new Uint8Array(3), width: 1, height: 1, channels: 3 };
  const { width, height } = fit(dot, preprocessor, config.imageAspectRatio).pixels;
  checkSize(width, height, config.vision.imageSize);
}

function checkSize(width: number, height: number, side: number): void {
  if (width === side && height === side) return;
  throw new LoadError({
    code: 'CONFIG_INVALID',
    message: `preprocessor_config.json makes ${width} x ${height} pixels; config.json wants ${side} x ${side}.`,
    fix: 'Use the preprocessor_config.json that belongs to this model.',
  });
}
