/** From the bytes of an image file to upright RGB pixels, whatever the format. */
import { LlavaSpError, LoadError, throwIfAborted } from '../errors/index.ts';
import { broken, type ImageFormat, type ImageHeader, readHeader } from './header.ts';
import { applyOrientation, flattenAlpha, type ImageLimits, type Pixels } from './pixels.ts';

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

/** The WASM file of each format, and the code around it, both loaded when the first such image comes. */
const CODECS: Record<ImageFormat, { wasm: string; load: () => Promise<Codec> }> = {
  jpeg: {
    wasm: '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm',
    load: async () => (await import('./codecs/jpeg.ts')).decodeJpeg,
  },
  png: {
    wasm: '@jsquash/png/codec/pkg/squoosh_png_bg.wasm',
    load: async () => (await import('./codecs/png.ts')).decodePng,
  },
  webp: {
    wasm: '@jsquash/webp/codec/dec/webp_dec.wasm',
    load: async () => (await import('./codecs/webp.ts')).decodeWebp,
  },
  avif: {
    wasm: '@jsquash/avif/codec/dec/avif_dec.wasm',
    load: async () => (await import('./codecs/avif.ts')).decodeAvif,
  },
};

/** A decoder for one host. Each format's WASM is compiled once; each image gets an instance of its own. */
export function createImageDecoder(loadWasm: LoadWasm): ImageDecoder {
  const ready = new Map<ImageFormat, Promise<[WebAssembly.Module, Codec]>>();

  async function prepare(format: ImageFormat): Promise<[WebAssembly.Module, Codec]> {
    const { wasm, load } = CODECS[format];
    try {
      return await Promise.all([loadWasm(wasm), load()]);
    } catch (cause) {
      ready.delete(format);
      throw new LoadError({
        code: 'FILE_UNREADABLE',
        message: `The ${format.toUpperCase()} decoder (${wasm}) can't be loaded.`,
        fix: 'Install the package anew, with its dependencies.',
        cause,
      });
    }
  }

  return async (bytes, options = {}) => {
    throwIfAborted(options.signal);
    const header = readHeader(bytes, options);
    const { format, width, height } = header;
    let preparing = ready.get(format);
    if (preparing === undefined) {
      preparing = prepare(format);
      ready.set(format, preparing);
    }
    const [module, codec] = await preparing;
    throwIfAborted(options.signal);
    let raw: RawPixels;
    try {
      raw = await codec(module, bytes, header);
    } catch (cause) {
      if (cause instanceof LlavaSpError) throw cause;
      throw broken(format, cause instanceof Error ? cause.message : 'the decoder gave up', cause);
    }
    throwIfAborted(options.signal);
    if (raw.width !== width || raw.height !== height || raw.data.length !== width * height * 4) {
      throw broken(format, `the header says ${width}x${height}, the picture is ${raw.width}x${raw.height}`);
    }
    return applyOrientation(flattenAlpha(raw.data, width, height), header.orientation);
  };
}
