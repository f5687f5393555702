import { ArgumentError } from '../errors/index.ts';
import type { Host } from '../host.ts';
import { pixelsFromRaw, type Pixels, type RawImage } from '../image/pixels.ts';

/**
 * A picture: a path or URL, the bytes of a JPEG, PNG, WebP or AVIF file, a Blob of them, or pixels
 * (`{ data, width, height }`, RGB or RGBA, 8 bits each).
 */
export type ImageInput = string | URL | Uint8Array | ArrayBuffer | Blob | RawImage;

/** What identifies a picture: the same bytes are the same picture, wherever they came from. */
export interface ImageSource {
  readonly bytes: Uint8Array;
  /** Distinguishes raw pixels of one size from those of another. */
  readonly key: string;
  pixels(signal?: AbortSignal): Promise<Pixels>;
}

/**
 * Arrays are copied: a question may wait its turn while the caller draws the next frame into the same one.
 *
 * @throws {ArgumentError} `IMAGE_MISSING`, `IMAGE_INVALID`; LoadError `FILE_UNREADABLE`.
 */
export async function readSource(host: Host, image: ImageInput, signal?: AbortSignal): Promise<ImageSource> {
  if (image === undefined || image === null || image === '') {
    throw new ArgumentError({
      code: 'IMAGE_MISSING',
      message: 'No image was given.',
      fix: 'Pass a path, URL, bytes, Blob, or { data, width, height }.',
    });
  }
  if (typeof image === 'string' || image instanceof URL || image instanceof Blob) {
    return encoded(host, await host.readImage(image, signal));
  }
  if (image instanceof ArrayBuffer) return encoded(host, copyOf(image));
  if (image instanceof Uint8Array) return encoded(host, copyOf(image));
  if (typeof image === 'object' && 'data' in image) {
    const { data, ...size } = pixelsFromRaw(image);
    const pixels = { data: copyOf(data), ...size };
    const key = `raw ${pixels.width} ${pixels.height}`;
    return { bytes: pixels.data, key, pixels: () => Promise.resolve(pixels) };
  }
  throw new ArgumentError({
    code: 'IMAGE_INVALID',
    message: `The image is ${typeof image}, which is nothing to look at.`,
    fix: 'Pass a path, URL, bytes, Blob, or { data, width, height }.',
  });
}

/** Not by `slice`, which in Node's Buffer gives a view of the same bytes. What was transferred away is empty. */
function copyOf(bytes: Uint8Array | ArrayBuffer): Uint8Array {
  if (bytes.byteLength === 0) return new Uint8Array(0);
  return new Uint8Array(bytes instanceof ArrayBuffer ? bytes.slice(0) : bytes);
}

function encoded(host: Host, bytes: Uint8Array): ImageSource {
  return { bytes, key: 'encoded', pixels: (signal) => host.decodeImage(bytes, signal) };
}

/** Whether two sources are the same picture, to the byte. */
export function sameSource(a: ImageSource, b: ImageSource): boolean {
  if (a.key !== b.key || a.bytes.length !== b.bytes.length) return false;
  for (let i = 0; i < a.bytes.length; i++) if (a.bytes[i] !== b.bytes[i]) return false;
  return true;
}
