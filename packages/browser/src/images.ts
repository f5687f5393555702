/** Pictures as only browsers have them. */
import { AbortedError, ArgumentError, fetchImage, type RawImage } from '@llava-sp/core';

/** What a picture of the platform is read from: its type in `ImageInput`. */
export interface BrowserImages {
  /** `<img>`, and `<image>` in an SVG: the file behind it is decoded as in Node, where this page may read it. */
  readonly image: HTMLImageElement | SVGImageElement;
  /** Its pixels at the time of the call. */
  readonly canvas: HTMLCanvasElement | OffscreenCanvas;
  /** The frame that it shows. */
  readonly video: HTMLVideoElement | VideoFrame;
  /** Its pixels at the time of the call. */
  readonly bitmap: ImageBitmap;
}

declare module '@llava-sp/core' {
  interface PlatformImages {
    /** What a browser shows. */
    readonly browser: BrowserImages[keyof BrowserImages];
    /** A canvas's pixels. */
    readonly imageData: ImageData;
  }
}

type Drawable = Exclude<CanvasImageSource, SVGImageElement>;
type Canvas = HTMLCanvasElement | OffscreenCanvas;

/** In workers, what belongs to documents has no class. */
function isA<T>(value: object, name: string): value is object & T {
  const type: unknown = (globalThis as Record<string, unknown>)[name];
  return typeof type === 'function' && value instanceof type;
}

/**
 * The pixels of a picture that is drawn somewhere, or the bytes of the file behind an element; `null` for what is no picture of
 * a browser. What may change under the caller (a canvas, a video, the address of an element) is read before this returns.
 * Pixels are sRGB, `[height, width, 4]`, alpha not premultiplied.
 *
 * @throws {ArgumentError} `IMAGE_TAINTED` for a picture of another origin that does not allow this page; `IMAGE_EMPTY`;
 *   `IMAGE_INVALID` for one that did not load.
 */
export function readPixels(image: object, signal?: AbortSignal): Promise<RawImage | Uint8Array> | null {
  if (isA<HTMLImageElement>(image, 'HTMLImageElement')) {
    return readElement(image, addressOf(image), signal);
  }
  if (isA<SVGImageElement>(image, 'SVGImageElement')) {
    const address = image.href.baseVal;
    return readElement(image, address && new URL(address, image.baseURI).href, signal);
  }
  if (isA<ImageData>(image, 'ImageData')) return now(() => dataPixels(image));
  if (isA<HTMLVideoElement>(image, 'HTMLVideoElement')) return now(() => videoPixels(image));
  if (isA<VideoFrame>(image, 'VideoFrame')) {
    return now(() => draw(image, image.displayWidth, image.displayHeight));
  }
  if (
    isA<HTMLCanvasElement>(image, 'HTMLCanvasElement') ||
    isA<OffscreenCanvas>(image, 'OffscreenCanvas') ||
    isA<ImageBitmap>(image, 'ImageBitmap')
  ) {
    return now(() => draw(image, image.width, image.height));
  }
  return null;
}

/** At once, with errors by the promise. */
function now<T>(work: () => T): Promise<T> {
  try {
    return Promise.resolve(work());
  } catch (error) {
    return Promise.reject(error instanceof Error ? error : new Error(String(error)));
  }
}

async function readElement(
  image: HTMLImageElement | SVGImageElement,
  address: string,
  signal: AbortSignal | undefined,
): Promise<RawImage | Uint8Array> {
  if (address === '') throw invalid('The image element has no address.', 'Set its src first.');
  const shown = isA<HTMLImageElement>(image, 'HTMLImageElement') ? image : null;
  const asked = shown?.src;
  // Given another address meanwhile, the element shows another picture, or soon will.
  const isStillShown = (): boolean => shown !== null && shown.src === asked && addressOf(shown) === address;
  const bytes = await fileOf(address, signal);
  if (bytes) return bytes;
  let picture = shown && isStillShown() ? shown : pictureAt(address);
  let failure = await failureOf(picture);
  if (picture === shown && !isStillShown()) {
    picture = pictureAt(address);
    failure = await failureOf(picture);
  }
  if (failure) {
    const { cause } = failure;
    throw invalid('The image element shows nothing: its picture did not load.', 'Check its address.', cause);
  }
  if (signal?.aborted) throw new AbortedError(signal.reason);
  if (picture.naturalWidth > 0) return draw(picture, picture.naturalWidth, picture.naturalHeight);
  // A drawing (SVG) may have no pixels of its own, and is taken as large as it is shown.
  const { width, height } = image.getBoundingClientRect();
  return draw(picture, Math.round(width), Math.round(height));
}

function addressOf(image: HTMLImageElement): string {
  return image.currentSrc || image.src;
}

/** Why an element's picture can't be drawn; `null` when it can. */
async function failureOf(picture: HTMLImageElement): Promise<{ cause: unknown } | null> {
  try {
    await picture.decode();
    return null;
  } catch (cause) {
    return { cause };
  }
}

function pictureAt(address: string): HTMLImageElement {
  const picture = new Image();
  picture.crossOrigin = 'anonymous';
  picture.src = address;
  return picture;
}

/** Of the first bytes of files that the decoders of this package take: JPEG, PNG, WebP and AVIF. */
const KNOWN = /^(\xff\xd8\xff|\x89PNG|RIFF....WEBP|....ftypavi[fs])/s;

/** The file behind an element, mostly from the browser's cache; `null` where it can't be had, or is of another format. */
async function fileOf(address: string, signal: AbortSignal | undefined): Promise<Uint8Array | null> {
  try {
    const bytes = await fetchImage(address, signal);
    return KNOWN.test(String.fromCharCode(...bytes.subarray(0, 12))) ? bytes : null;
  } catch (error) {
    if (error instanceof AbortedError) throw error;
    return null;
  }
}

function dataPixels(image: ImageData): RawImage {
  const { data, width, height } = image;
  const plain = image.colorSpace === 'srgb' && data instanceof Uint8ClampedArray;
  // Copied: the caller may draw into it.
  if (plain) return { data: new Uint8ClampedArray(data), width, height };
  const context = contextOf(width, height);
  context.putImageData(image, 0, 0);
  return pixelsOf(context, width, height);
}

function videoPixels(video: HTMLVideoElement): RawImage {
  // A frame is there from HAVE_CURRENT_DATA on.
  if (video.readyState < 2) {
    throw invalid('The video shows no frame yet.', "Wait for its event 'loadeddata'.");
  }
  return draw(video, video.videoWidth, video.videoHeight);
}

function draw(image: Drawable, width: number, height: number): RawImage {
  if (!(width > 0 && height > 0)) {
    throw new ArgumentError({
      code: 'IMAGE_EMPTY',
      message: `The picture is ${width}x${height} pixels: there is nothing to look at.`,
      fix: 'Pass one that is loaded and not closed.',
    });
  }
  const context = contextOf(width, height);
  // Pixels as they are, not blended with those of the canvas.
  context.globalCompositeOperation = 'copy';
  context.imageSmoothingEnabled = false;
  try {
    context.drawImage(image, 0, 0, width, height);
  } catch (cause) {
    throw invalid('The picture can not be drawn.', 'Pass one that is loaded and not closed.', cause);
  }
  return pixelsOf(context, width, height);
}

function contextOf(
  width: number,
  height: number,
): CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D {
  const canvas: Canvas =
    typeof OffscreenCanvas === 'function'
      ? new OffscreenCanvas(width, height)
      : Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d', { willReadFrequently: true, colorSpace: 'srgb' }) as
    CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null;
  if (context) return context;
  throw invalid(`A canvas of ${width}x${height} pixels can't be made.`, 'Scale the picture down first.');
}

function pixelsOf(context: ReturnType<typeof contextOf>, width: number, height: number): RawImage {
  try {
    const { data } = context.getImageData(0, 0, width, height);
    return { data: data, width, height };
  } catch (cause) {
    throw new ArgumentError({
      code: 'IMAGE_TAINTED',
      message: 'The picture comes from another origin, which does not allow this page to read it.',
      fix: 'Let its server send Access-Control-Allow-Origin and set crossorigin="anonymous" on the element, or pass its bytes.',
      cause,
    });
  }
}

function invalid(message: string, fix: string, cause?: unknown): ArgumentError {
  return new ArgumentError({ code: 'IMAGE_INVALID', message, fix, cause });
}
