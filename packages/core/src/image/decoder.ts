/** The formats' decoders, and what is checked before and behind them. */
import { LlavaSpError, LoadError, throwIfAborted } from '../errors/index.ts';
import type { Codec, ImageDecoder, LoadWasm, RawPixels } from './decode.ts';
import { broken, type ImageFormat, readHeader } from './header.ts';
import { applyOrientation, flattenAlpha } from './pixels.ts';

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

/** What `createImageDecoder` loads with the first image. */
export function openDecoder(loadWasm: LoadWasm): ImageDecoder {
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
