import type { Codec, RawPixels } from '../decode.ts';
import { type Factory, runEmscripten } from './emscripten.ts';

interface Avif {
  decode(bytes: Uint8Array, bitDepth: 8): RawPixels | null;
}

/** AVIF by libavif; 10- and 12-bit pictures are brought to 8. */
export const decodeAvif: Codec = async (module, bytes) => {
  const glue: unknown = await import('@jsquash/avif/codec/dec/avif_dec.js');
  const { default: factory } = glue as { default: Factory<Avif> };
  return (await runEmscripten(factory, module, (decoder) => decoder.decode(bytes, 8))).image;
};
