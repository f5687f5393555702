import { ArgumentError } from '../errors/index.ts';
import type { Host } from '../host.ts';
import { checkRaw, pixelsFromRaw, type Pixels, type RawImage } from '../image/pixels.ts';
import type { PlatformImages } from './platform.ts';

/**
 * A picture: a path or URL, the bytes of a JPEG, PNG, WebP or AVIF file, a Blob of them, or pixels
 * (`{ data, width, height }`, RGB or RGBA, 8 bits each); and what the platform has of its own.
 */
export type ImageInput =
  string | URL | Uint8Array | ArrayBuffer | Blob | PlatformImages[keyof PlatformImages];

/** What a host reads of pictures that only its platform has. */
export type ReadPixels = Host['readPixels'];

/** A picture taken from the caller: nobody changes it any more, and it may go to another thread. */
export type TakenImage =
  | { readonly kind: 'address'; readonly address: string; readonly url: boolean }
  | { readonly kind: 'blob'; readonly blob: Blob }
  | { readonly kind: 'encoded'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'raw'; readonly image: RawImage };

/** What identifies a picture: the same bytes are the same picture, wherever they came from. */
export interface ImageSource {
  readonly bytes: Uint8Array;
  /** Distinguishes raw pixels of one size from those of another. */
  readonly key: string;
  pixels(signal?: AbortSignal): Promise<Pixels>;
}

/**
 * Takes a picture as it is now. Arrays are copied: a question may wait its turn while the caller draws the next frame into
 * the same one.
 *
 * @throws {ArgumentError} `IMAGE_MISSING`, `IMAGE_INVALID`, `IMAGE_EMPTY`, `IMAGE_TOO_LARGE`; a platform's picture by the
 *   promise, too.
 */
export function takeImage(
  image: ImageInput,
  readPixels: ReadPixels,
  signal?: AbortSignal,
): TakenImage | Promise<TakenImage> {
  if (image === undefined || image === null || image === '') {
    throw new ArgumentError({
      code: 'IMAGE_MISSING',
      message: 'No image was given.',
      fix: 'Pass a path, URL, bytes, Blob, or { data, width, height }.',
    });
  }
  if (typeof image === 'string') return { kind: 'address', address: image, url: false };
  if (image instanceof URL) return { kind: 'address', address: image.href, url: true };
  if (image instanceof Blob) return { kind: 'blob', blob: image };
  if (image instanceof ArrayBuffer || image instanceof Uint8Array) {
    return { kind: 'encoded', bytes: copyOf(image) };
  }
  const known: unknown = image;
  if (typeof known === 'object' && known !== null) {
    const reading = readPixels?.(known, signal);
    if (reading) {
      const taken = reading.then(ofPlatform);
      // The question may be refused before anybody waits for the picture.
      taken.catch(() => undefined);
      return taken;
    }
    if (isRaw(known)) {
      const { data, width, height } = known;
      checkRaw(known);
      return { kind: 'raw', image: { data: copyOf(data), width, height } };
    }
  }
  throw new ArgumentError({
    code: 'IMAGE_INVALID',
    message: `The image is ${typeof image}, which is nothing to look at.`,
    fix: 'Pass a path, URL, bytes, Blob, or { data, width, height }.',
  });
}

/** What it is of is checked later. */
function isRaw(image: object): image is RawImage {
  return 'data' in image;
}

function ofPlatform(read: RawImage | Uint8Array): TakenImage {
  if (!(read instanceof Uint8Array)) return { kind: 'raw', image: read };
  // A part of a larger buffer can't be transferred alone.
  const whole = read.buffer instanceof ArrayBuffer && read.byteLength === read.buffer.byteLength;
  return { kind: 'encoded', bytes: whole ? (read as Uint8Array<ArrayBuffer>) : copyOf(read) };
}

/** Not by `slice`, which in Node's Buffer gives a view of the same bytes. What was transferred away is empty. */
function copyOf(bytes: Uint8Array | Uint8ClampedArray | ArrayBuffer): Uint8Array<ArrayBuffer> {
  if (bytes.byteLength === 0) return new Uint8Array(0);
  return new Uint8Array(bytes instanceof ArrayBuffer ? bytes.slice(0) : bytes);
}

/** @throws {LoadError} `FILE_UNREADABLE`, and what else the host says of an address. */
export async function readSource(host: Host, taken: TakenImage, signal?: AbortSignal): Promise<ImageSource> {
  switch (taken.kind) {
    case 'address':
      return encoded(host, await host.readImage(taken.url ? new URL(taken.address) : taken.address, signal));
    case 'blob':
      return encoded(host, await host.readImage(taken.blob, signal));
    case 'encoded':
      return encoded(host, taken.bytes);
    case 'raw': {
      const pixels = pixelsFromRaw(taken.image);
      const key = `raw ${pixels.width} ${pixels.height}`;
      return { bytes: pixels.data, key, pixels: () => Promise.resolve(pixels) };
    }
    default:
      return taken satisfies never;
  }
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
