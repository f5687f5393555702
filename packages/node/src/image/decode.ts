import { createImageDecoder, type ImageDecoder } from '@llava-sp/core';
import { loadCodec } from './codecs.ts';

/** Decodes JPEG, PNG, WebP and AVIF files to upright 8-bit RGB. */
export const decodeImage: ImageDecoder = createImageDecoder(loadCodec);
