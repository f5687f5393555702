import { LlavaSpError, UnsupportedError } from '../../errors/index.ts';
import type { Codec, RawPixels } from '../decode.ts';
import { checkSize } from '../pixels.ts';
import { type Factory, runEmscripten } from './emscripten.ts';

interface MozJpeg {
  decode(bytes: Uint8Array, applyOrientation: boolean): RawPixels | null;
}

/** jpeg-js takes some 80 bytes a pixel while it decodes. */
const MAX_CMYK_PIXELS = 24_000_000;

/** JPEG by mozjpeg (libjpeg's own arithmetic, as Pillow's). */
export const decodeJpeg: Codec = async (module, bytes, header) => {
  if (header.components === 4) {
    checkSize(header.width, header.height, { maxPixels: MAX_CMYK_PIXELS });
    return decodeCmyk(bytes);
  }
  const glue: unknown = await import('@jsquash/jpeg/codec/dec/mozjpeg_dec.js');
  const { default: factory } = glue as { default: Factory<MozJpeg> };
  const { image, lines } = await runEmscripten(factory, module, (decoder) => decoder.decode(bytes, false));
  // libjpeg fills the rest of a file that was cut off with grey, and only warns.
  const warning = lines.find((line) => line.includes('Premature end'));
  if (warning !== undefined) throw new Error(warning);
  return image;
};

/**
 * CMYK and YCCK, which mozjpeg does not convert to RGB, by jpeg-js. It repeats subsampled colour where libjpeg
 * interpolates it, so such a picture is a few levels off at edges of colour; files in CMYK are rarely subsampled.
 */
async function decodeCmyk(bytes: Uint8Array): Promise<RawPixels> {
  const { default: jpegJs } = await import('jpeg-js');
  try {
    // The size was checked already: jpeg-js's own limits, in megapixels and megabytes, are out of the way.
    return jpegJs.decode(bytes, {
      useTArray: true,
      tolerantDecoding: false,
      maxResolutionInMP: 1e6,
      maxMemoryUsageInMB: 4096,
    });
  } catch (cause) {
    if (cause instanceof LlavaSpError || !String(cause).includes('Unsupported color mode')) throw cause;
    throw new UnsupportedError({
      code: 'IMAGE_UNSUPPORTED_FORMAT',
      message: 'The JPEG image has four channels, and does not say that they are CMYK.',
      fix: 'Convert it to RGB with an image editor.',
      cause,
    });
  }
}
