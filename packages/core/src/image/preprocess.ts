/** RGB pixels to a vision tower's input: pad, resize, crop, rescale, normalise (specification, section 1). */
import type { Geometry } from './boxes.ts';
import type { Pixels } from './pixels.ts';
import type { PreprocessorConfig, Triple } from './preprocessor.ts';
import { type Canvas, resizeCanvas } from './resize.ts';

export { parsePreprocessor } from './preprocessor.ts';
export type { PreprocessorConfig } from './preprocessor.ts';

/** `pad`: centred on a square of the longer side, in the mean's colour. `original`: as the picture is. */
export type ImageAspect = 'pad' | 'original';

export interface Preprocessed {
  /** `[3, height, width]`: red, green, blue. */
  pixels: Float32Array;
  width: number;
  height: number;
  geometry: Geometry;
}

/**
 * What LLaVA's and Hugging Face's image processors give on Pillow images, to the last bit: values are rounded to
 * float32 after rescaling, after the mean and after the division.
 */
export function preprocess(src: Pixels, config: PreprocessorConfig, aspect: ImageAspect): Preprocessed {
  const { pixels, geometry } = fit(src, config, aspect);
  return { pixels: normalised(pixels, config), width: pixels.width, height: pixels.height, geometry };
}

/** Rescaled and normalised: `[height, width, 3]` of 8 bits to `[3, height, width]`. */
export function normalised(pixels: Pixels, config: PreprocessorConfig): Float32Array {
  const plane = pixels.width * pixels.height;
  const out = new Float32Array(3 * plane);
  for (let c = 0; c < 3; c++) {
    const values = channelValues(config, c);
    for (let i = 0, s = c, d = c * plane; i < plane; i++, s += 3, d++) out[d] = values[pixels.data[s]];
  }
  return out;
}

/**
 * The 8-bit part: pad, resize, centre crop. Neither the padded square nor what the crop cuts off is made. A crop
 * larger than the resized picture is filled up with black around it.
 */
export function fit(
  src: Pixels,
  config: PreprocessorConfig,
  aspect: ImageAspect,
): { pixels: Pixels; geometry: Geometry } {
  const canvas = canvasFor(src, aspect, config.mean);
  const resized = resizedSize(canvas, config);
  const crop = config.crop ?? resized;
  const { width, height } = crop;
  const cropX = Math.floor((resized.width - width) / 2);
  const cropY = Math.floor((resized.height - height) / 2);
  const geometry: Geometry = {
    sourceWidth: src.width,
    sourceHeight: src.height,
    canvasWidth: canvas.width,
    canvasHeight: canvas.height,
    offsetX: canvas.x,
    offsetY: canvas.y,
    resizedWidth: resized.width,
    resizedHeight: resized.height,
    cropX,
    cropY,
    width,
    height,
  };
  const window = {
    x: Math.max(cropX, 0),
    y: Math.max(cropY, 0),
    width: Math.min(width, resized.width),
    height: Math.min(height, resized.height),
  };
  const part = resizeCanvas(src, canvas, resized.width, resized.height, window);
  if (part.width === width && part.height === height) return { pixels: part, geometry };
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < part.height; y++) {
    const row = part.data.subarray(y * part.width * 3, (y + 1) * part.width * 3);
    data.set(row, ((y + window.y - cropY) * width + window.x - cropX) * 3);
  }
  return { pixels: { data, width, height, channels: 3 }, geometry };
}

function canvasFor(src: Pixels, aspect: ImageAspect, mean: Triple): Canvas {
  if (aspect === 'original') return { width: src.width, height: src.height, x: 0, y: 0, fill: [0, 0, 0] };
  const side = Math.max(src.width, src.height);
  const level = (v: number) => Math.min(Math.max(Math.trunc(v * 255), 0), 255);
  return {
    width: side,
    height: side,
    x: Math.floor((side - src.width) / 2),
    y: Math.floor((side - src.height) / 2),
    fill: [level(mean[0]), level(mean[1]), level(mean[2])],
  };
}

function resizedSize(canvas: Canvas, { resize }: PreprocessorConfig): { width: number; height: number } {
  const { width, height } = canvas;
  if (resize === undefined) return { width, height };
  if ('width' in resize) return resize;
  const { shortestEdge } = resize;
  if (width <= height) return { width: shortestEdge, height: Math.floor((shortestEdge * height) / width) };
  return { width: Math.floor((shortestEdge * width) / height), height: shortestEdge };
}

/** The float32 value of each of a channel's 256 levels. */
function channelValues({ rescale, normalize }: PreprocessorConfig, channel: number): Float32Array {
  const values = new Float32Array(256);
  for (let v = 0; v < 256; v++) {
    values[v] = v * rescale;
    if (normalize !== undefined) {
      values[v] -= Math.fround(normalize.mean[channel]);
      values[v] /= Math.fround(normalize.std[channel]);
    }
  }
  return values;
}
