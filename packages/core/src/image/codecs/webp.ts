import type { Codec, RawPixels } from '../decode.ts';
import { type Factory, runEmscripten } from './emscripten.ts';

interface WebP {
  decode(bytes: Uint8Array): RawPixels | null;
}

/** WebP by libwebp. */
export const decodeWebp: Codec = async (module, bytes) => {
  const glue: unknown = await import('@jsquash/webp/codec/dec/webp_dec.js');
  const { default: factory } = glue as { default: Factory<WebP> };
  return (await runEmscripten(factory, module, (decoder) => decoder.decode(bytes))).image;
};
