/**
 * What an image file says about itself, read from its header alone: format, size, orientation. So a picture of
 * 100 megapixels is refused before anything of its size is allocated, and the decoders only see plausible files.
 */
import { ArgumentError, LlavaSpError, LoadError, UnsupportedError } from '../errors/index.ts';
import { isoHeader } from './header_avif.ts';
import { checkSize, type ImageLimits } from './pixels.ts';

export type ImageFormat = 'jpeg' | 'png' | 'webp' | 'avif';

/** Sizes are in pixels, as stored: the orientation is not applied yet. */
export interface ImageHeader {
  format: ImageFormat;
  width: number;
  height: number;
  /** 1..8, as EXIF has it; 1 where the file says nothing (or nonsense). */
  orientation: number;
  /** JPEG: 1 grey, 3 colour, 4 CMYK or YCCK. Otherwise 0. */
  components: number;
}

/** A progressive JPEG has about ten scans. One of thousands costs minutes for a small file. */
const MAX_JPEG_SCANS = 200;

/** The format by its first bytes; undefined where it is none of those read. */
export function sniff(bytes: Uint8Array): ImageFormat | undefined {
  if (startsWith(bytes, 0, [0xff, 0xd8, 0xff])) return 'jpeg';
  if (startsWith(bytes, 0, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return 'png';
  if (startsWith(bytes, 0, 'RIFF') && startsWith(bytes, 8, 'WEBP')) return 'webp';
  if (startsWith(bytes, 4, 'ftyp')) {
    // The major brand, a version, then compatible brands up to the box's end.
    const end = Math.min(
      bytes.length,
      ((bytes[0] << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3]) >>> 0,
    );
    for (let i = 8; i + 4 <= end; i += i === 8 ? 8 : 4) {
      if (startsWith(bytes, i, 'avif') || startsWith(bytes, i, 'avis')) return 'avif';
    }
  }
  return undefined;
}

/**
 * Reads format, size and orientation, and checks that the size is within `limits` and the file's parts are all
 * there (for JPEG, up to the first scan).
 * @throws UnsupportedError `IMAGE_UNSUPPORTED_FORMAT`, LoadError `IMAGE_DECODE_FAILED` for a broken header,
 * ArgumentError `IMAGE_EMPTY` or `IMAGE_TOO_LARGE`.
 */
export function readHeader(bytes: Uint8Array, limits: ImageLimits = {}): ImageHeader {
  if (bytes.length === 0) {
    throw new ArgumentError({
      code: 'IMAGE_EMPTY',
      message: 'The image has no bytes.',
      fix: 'Pass the bytes of a JPEG, PNG, WebP or AVIF file.',
    });
  }
  const format = sniff(bytes);
  if (format === undefined) throw unknownFormat(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (format === 'jpeg') return jpegHeader(bytes, view, limits);
    if (format === 'png') return pngHeader(bytes, view, limits);
    if (format === 'webp') return webpHeader(bytes, view, limits);
    const { width, height, orientation } = isoHeader(view);
    checkSize(width, height, limits);
    return { format, width, height, orientation, components: 0 };
  } catch (cause) {
    if (cause instanceof LlavaSpError) throw cause;
    // DataView's RangeError: a field past the end.
    throw broken(format, 'it ends early', cause);
  }
}

/** The error for a file that is of a known format but can't be decoded. */
export function broken(format: ImageFormat, what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: 'IMAGE_DECODE_FAILED',
    message: `The ${format.toUpperCase()} image can't be decoded: ${what}.`,
    fix: 'Get the file again (it may have been cut off or damaged), or save it anew with an image editor.',
    cause,
  });
}

function unknownFormat(bytes: Uint8Array): UnsupportedError {
  const others: [string, number, string | number[]][] = [
    ['a GIF', 0, 'GIF8'],
    ['a BMP', 0, 'BM'],
    ['a TIFF', 0, [0x49, 0x49, 0x2a, 0]],
    ['a TIFF', 0, [0x4d, 0x4d, 0, 0x2a]],
    ['a HEIC', 4, 'ftyphei'],
    ['a HEIC', 4, 'ftypmif1'],
    ['a JPEG XL', 0, [0xff, 0x0a]],
    ['a JPEG XL', 4, 'JXL '],
    ['a PDF', 0, '%PDF'],
    ['an SVG or other XML', 0, '<'],
  ];
  const known = others.find(([, offset, signature]) => startsWith(bytes, offset, signature));
  return new UnsupportedError({
    code: 'IMAGE_UNSUPPORTED_FORMAT',
    message: known
      ? `The image is ${known[0]} file, which is not read.`
      : 'The bytes are no image of a known format.',
    fix: 'Pass a JPEG, PNG, WebP or AVIF file; convert others to PNG.',
  });
}

function startsWith(bytes: Uint8Array, offset: number, signature: string | number[]): boolean {
  for (let i = 0; i < signature.length; i++) {
    const wanted = typeof signature === 'string' ? signature.charCodeAt(i) : signature[i];
    if (bytes[offset + i] !== wanted) return false;
  }
  return true;
}

/** ITU-T T.81 annex B: segments up to the first scan; EXIF's is APP1. */
function jpegHeader(bytes: Uint8Array, view: DataView, limits: ImageLimits): ImageHeader {
  let at = 2;
  let frame: { width: number; height: number; components: number; marker: number } | undefined;
  let orientation: number | undefined;
  for (;;) {
    if (view.getUint8(at) !== 0xff)
      throw broken('jpeg', 'a segment does not begin where the one before says');
    while (view.getUint8(at) === 0xff) at++;
    const marker = bytes[at++];
    // TEM and restart markers have no length.
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue;
    if (marker === 0xd9) throw broken('jpeg', 'it ends before any picture');
    const length = view.getUint16(at);
    if (length < 2) throw broken('jpeg', 'a segment has no length');
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      if (frame !== undefined) throw broken('jpeg', 'it holds two frames');
      const [height, width] = [view.getUint16(at + 3), view.getUint16(at + 5)];
      frame = { width, height, components: view.getUint8(at + 7), marker };
      checkSize(width, height, limits);
    } else if (marker === 0xe1 && startsWith(bytes, at + 2, 'Exif\0\0')) {
      orientation ??= tiffOrientation(bytes, at + 8, at + length);
    } else if (marker === 0xda) {
      if (frame === undefined) throw broken('jpeg', 'a scan comes before the frame header');
      if (frame.marker === 0xc2) checkScans(bytes, at);
      return { format: 'jpeg', orientation: orientation ?? 1, ...frame };
    }
    at += length;
  }
}

function checkScans(bytes: Uint8Array, from: number): void {
  let scans = 1;
  for (let i = bytes.indexOf(0xff, from); i !== -1; i = bytes.indexOf(0xff, i + 1)) {
    if (bytes[i + 1] === 0xda && ++scans > MAX_JPEG_SCANS)
      throw broken('jpeg', `it has over ${MAX_JPEG_SCANS} scans`);
  }
}

/** PNG specification, section 5: chunks, all of which must be there. */
function pngHeader(bytes: Uint8Array, view: DataView, limits: ImageLimits): ImageHeader {
  if (view.getUint32(8) !== 13 || !startsWith(bytes, 12, 'IHDR')) throw broken('png', 'it has no header');
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  checkSize(width, height, limits);
  let orientation = 1;
  for (let at = 8; !startsWith(bytes, at + 4, 'IEND');) {
    const length = view.getUint32(at);
    if (startsWith(bytes, at + 4, 'eXIf')) orientation = tiffOrientation(bytes, at + 8, at + 8 + length);
    at += 12 + length;
    if (at + 8 > bytes.length) throw broken('png', 'it ends early');
  }
  return { format: 'png', width, height, orientation, components: 0 };
}

/** RFC 9649: a RIFF container of chunks; the first one tells the size. */
function webpHeader(bytes: Uint8Array, view: DataView, limits: ImageLimits): ImageHeader {
  const end = 8 + view.getUint32(4, true);
  let size: [number, number];
  if (startsWith(bytes, 12, 'VP8X')) {
    size = [1 + uint24(view, 24), 1 + uint24(view, 27)];
    if (view.getUint8(20) & 2) {
      throw new UnsupportedError({
        code: 'IMAGE_UNSUPPORTED_FORMAT',
        message: 'The WebP image is animated.',
        fix: 'Save one of its frames as a still image.',
      });
    }
  } else if (startsWith(bytes, 12, 'VP8L')) {
    if (view.getUint8(20) !== 0x2f) throw broken('webp', 'its lossless header is damaged');
    const bits = view.getUint32(21, true);
    size = [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1];
  } else if (startsWith(bytes, 12, 'VP8 ')) {
    if (!startsWith(bytes, 23, [0x9d, 0x01, 0x2a])) throw broken('webp', 'its frame header is damaged');
    size = [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  } else {
    throw broken('webp', 'it has no picture');
  }
  checkSize(...size, limits);
  if (end > bytes.length) throw broken('webp', 'it ends early');
  let orientation = 1;
  for (let at = 12; at + 8 <= end;) {
    const length = view.getUint32(at + 4, true);
    if (startsWith(bytes, at, 'EXIF')) {
      // Some writers put JPEG's prefix before the EXIF block.
      const prefix = startsWith(bytes, at + 8, 'Exif\0\0') ? 6 : 0;
      orientation = tiffOrientation(bytes, at + 8 + prefix, at + 8 + length);
    }
    at += 8 + length + (length & 1);
  }
  return { format: 'webp', width: size[0], height: size[1], orientation, components: 0 };
}

function uint24(view: DataView, at: number): number {
  return view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
}

/**
 * The orientation tag (0x0112) of the EXIF block `bytes[begin, end)`, a TIFF header and its first directory.
 * Read here, in few lines: the containers have to be walked for their sizes in any case, and no small library
 * covers JPEG, PNG and WebP. Whatever does not parse means 1: a picture is never lost to its metadata.
 */
export function tiffOrientation(bytes: Uint8Array, begin: number, end: number): number {
  const last = Math.min(end, bytes.length);
  if (last - begin < 14) return 1;
  const view = new DataView(bytes.buffer, bytes.byteOffset + begin, last - begin);
  const little = view.getUint16(0) === 0x4949;
  if ((!little && view.getUint16(0) !== 0x4d4d) || view.getUint16(2, little) !== 42) return 1;
  const directory = view.getUint32(4, little);
  if (directory + 2 > view.byteLength) return 1;
  const entries = view.getUint16(directory, little);
  for (let i = 0; i < entries; i++) {
    const entry = directory + 2 + 12 * i;
    if (entry + 12 > view.byteLength) return 1;
    if (view.getUint16(entry, little) !== 0x0112) continue;
    const isShort = view.getUint16(entry + 2, little) === 3;
    const value = isShort ? view.getUint16(entry + 8, little) : 1;
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}
