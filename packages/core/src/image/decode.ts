/** From the bytes of an image file to upright RGB pixels, whatever the format. */
import { LoadError, throwIfAborted } from '../errors/index.ts';
import type { ImageHeader } from './header.ts';
import type { ImageLimits, Pixels } from './pixels.ts';

export interface DecodeOptions extends ImageLimits {
  signal?: AbortSignal;
}

/**
 * Decodes a JPEG, PNG, WebP or AVIF file to 8-bit RGB: 16-bit samples become `v >> 8`, grey and palettes become
 * RGB, CMYK is converted without a profile, alpha is flattened over white, the EXIF orientation is applied.
 * A file that is cut off or damaged is an error, never a partial picture.
 * @throws UnsupportedError `IMAGE_UNSUPPORTED_FORMAT`; LoadError `IMAGE_DECODE_FAILED`, or `FILE_UNREADABLE` where
 * the decoder itself can't be loaded; ArgumentError `IMAGE_EMPTY`, `IMAGE_TOO_LARGE`; AbortedError.
 */
export type ImageDecoder = (bytes: Uint8Array, options?: DecodeOptions) => Promise<Pixels>;

/** RGBA, `[height, width, 4]`, as stored. */
export interface RawPixels {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

/** One format's decoder. Any exception means that the file is damaged. */
export type Codec = (
  module: WebAssembly.Module,
  bytes: Uint8Array,
  header: ImageHeader,
) => Promise<RawPixels>;

/**
 * How a host gets a decoder's WASM: given a package file such as `@jsquash/png/codec/pkg/squoosh_png_bg.wasm`,
 * it reads or fetches that file and compiles it.
 */
export type LoadWasm = (specifier: string) => Promise<WebAssembly.Module>;

/**
 * A decoder for one host. Each format's WASM is compiled once; each image gets an instance of its own. Its code is loaded
 * with the first image: pages that give pixels need none of it.
 */
export function createImageDecoder(loadWasm: LoadWasm): ImageDecoder {
  let decoder: Promise<ImageDecoder> | undefined;
  const load = async (): Promise<ImageDecoder> => {
    try {
      return (await import('./decoder.ts')).openDecoder(loadWasm);
    } catch (cause) {
      decoder = undefined;
      throw new LoadError({
        code: 'FILE_UNREADABLE',
        message: "The decoder of image files can't be loaded.",
        fix: 'Install the package anew, with its dependencies.',
        cause,
      });
    }
  };
  return async (bytes, options) => {
    throwIfAborted(options?.signal);
    return (await (decoder ??= load()))(bytes, options);
  };
}
