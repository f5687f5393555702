import { ArgumentError } from '../errors/index.ts';
import type { RawImage } from '../host.ts';

export type { RawImage } from '../host.ts';

/** An RGB picture, 8 bits a channel, row-major from the top left: `data` is `[height, width, 3]`. */
export interface Pixels {
  data: Uint8Array;
  width: number;
  height: number;
  channels: 3;
}

/** What a picture may be at most; both figures can be changed where an image is decoded or passed in. */
export interface ImageLimits {
  /** In pixels, width times height. Default 50 million. */
  maxPixels?: number;
}

/** The default of {@link ImageLimits.maxPixels}: 150 MB as RGB. */
export const MAX_PIXELS = 50_000_000;

/** The longest side accepted, in pixels: JPEG's own limit. A longer one needs resize tables of gigabytes. */
export const MAX_SIDE = 65_535;

/**
 * Checks a picture's size, before anything of that size is allocated.
 * @throws ArgumentError `IMAGE_EMPTY` for no pixels, `IMAGE_TOO_LARGE` past the limits.
 */
export function checkSize(width: number, height: number, limits: ImageLimits = {}): void {
  const maxPixels = limits.maxPixels ?? MAX_PIXELS;
  if (!(width > 0 && height > 0)) {
    throw new ArgumentError({
      code: 'IMAGE_EMPTY',
      message: `The image is ${width}x${height} pixels: there is nothing to look at.`,
      fix: 'Pass an image of at least 1x1 pixel.',
    });
  }
  if (width * height > maxPixels || width > MAX_SIDE || height > MAX_SIDE) {
    const size = `${width}x${height} (${((width * height) / 1e6).toFixed(1)} megapixels)`;
    throw new ArgumentError({
      code: 'IMAGE_TOO_LARGE',
      message: `The image is ${size}; at most ${maxPixels / 1e6} megapixels and ${MAX_SIDE} pixels a side are read.`,
      fix: 'Scale the image down first.',
    });
  }
}

/**
 * Checks pixels that a caller passed; their channels, 3 or 4.
 * @throws ArgumentError `IMAGE_INVALID` where data and size don't agree; as {@link checkSize} for its size.
 */
export function checkRaw({ data, width, height }: RawImage, limits: ImageLimits = {}): 3 | 4 {
  const isBytes = data instanceof Uint8Array || data instanceof Uint8ClampedArray;
  if (!isBytes || !Number.isInteger(width) || !Number.isInteger(height)) {
    throw new ArgumentError({
      code: 'IMAGE_INVALID',
      message: 'A raw image needs data as Uint8Array or Uint8ClampedArray, and an integer width and height.',
      fix: 'Pass { data, width, height }, with 8 bits for each of 3 (RGB) or 4 (RGBA) channels.',
    });
  }
  checkSize(width, height, limits);
  const channels = data.length / (width * height);
  if (channels === 3 || channels === 4) return channels;
  throw new ArgumentError({
    code: 'IMAGE_INVALID',
    message: `The raw image's data holds ${data.length} bytes; ${width}x${height} pixels need ${width * height * 3} (RGB) or ${width * height * 4} (RGBA).`,
    fix: 'Pass tightly packed rows of 3 or 4 bytes a pixel.',
  });
}

/**
 * Pixels that a caller passed as RGB: four channels are flattened over white. A three-channel array of the type wanted is
 * used as it is, not copied.
 * @throws ArgumentError as {@link checkRaw}.
 */
export function pixelsFromRaw(image: RawImage, limits: ImageLimits = {}): Pixels {
  const { data, width, height } = image;
  if (checkRaw(image, limits) === 4) return flattenAlpha(data, width, height);
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data.buffer, data.byteOffset, data.length);
  return { data: bytes, width, height, channels: 3 };
}

/**
 * RGBA `[height, width, 4]` over white, to RGB: `round((v*a + 255*(255-a)) / 255)`. The weights are the file's
 * own values, not linear light, as image libraries do by default.
 */
export function flattenAlpha(rgba: Uint8Array | Uint8ClampedArray, width: number, height: number): Pixels {
  const count = width * height;
  const data = new Uint8Array(count * 3);
  for (let i = 0, s = 0, d = 0; i < count; i++, s += 4, d += 3) {
    const a = rgba[s + 3];
    if (a === 255) {
      data[d] = rgba[s];
      data[d + 1] = rgba[s + 1];
      data[d + 2] = rgba[s + 2];
    } else {
      const white = 255 * (255 - a);
      data[d] = Math.round((rgba[s] * a + white) / 255);
      data[d + 1] = Math.round((rgba[s + 1] * a + white) / 255);
      data[d + 2] = Math.round((rgba[s + 2] * a + white) / 255);
    }
  }
  return { data, width, height, channels: 3 };
}

/**
 * Turns and mirrors stored pixels upright by the EXIF orientation (TIFF 6.0 / EXIF 2.32 tag 0x0112): 1 as
 * stored, 2 mirrored left-right, 3 turned by 180 degrees, 4 mirrored top-bottom, 5 mirrored along the main
 * diagonal, 6 to be turned by 90 degrees clockwise, 7 mirrored along the other diagonal, 8 to be turned by 90
 * degrees counter-clockwise. Any other value leaves the picture as it is.
 */
export function applyOrientation(pixels: Pixels, orientation: number): Pixels {
  if (!(orientation >= 2 && orientation <= 8)) return pixels;
  const { data, width: w, height: h } = pixels;
  const transposed = orientation >= 5;
  const width = transposed ? h : w;
  const height = transposed ? w : h;
  // The source position of the upright picture's top-left pixel, and the source steps for one pixel to the right
  // and one row down, all counted in pixels.
  const last = w * h - 1;
  const [start, right, down] = (
    [
      [w - 1, -1, w],
      [last, -1, -w],
      [w * (h - 1), 1, -w],
      [0, w, 1],
      [w * (h - 1), -w, 1],
      [last, -w, -1],
      [w - 1, w, -1],
    ] as const
  )[orientation - 2];
  const out = new Uint8Array(data.length);
  let d = 0;
  for (let y = 0; y < height; y++) {
    let s = (start + y * down) * 3;
    for (let x = 0; x < width; x++, d += 3, s += right * 3) {
      out[d] = data[s];
      out[d + 1] = data[s + 1];
      out[d + 2] = data[s + 2];
    }
  }
  return { data: out, width, height, channels: 3 };
}
