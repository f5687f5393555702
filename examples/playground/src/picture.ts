/** What is being looked at. Never changed in place: another picture is another object. */
import type { ImageInput } from 'llava-sp';
import { paint, pixelsOf } from './scene/draw.ts';
import { nameOf, type Drawing } from './scene/world.ts';

export interface Picture {
  readonly name: string;
  /** In pixels, upright. */
  readonly width: number;
  readonly height: number;
  /** `null` for photos. */
  readonly drawing: Drawing | null;
  /** Questions to begin with. */
  readonly questions: readonly string[];
  /** Fills a canvas of `width` x `height`. */
  show(context: CanvasRenderingContext2D, width: number, height: number): void;
  /** What the model is given. */
  input(): ImageInput;
}

/** Of shapes, drawn here or elsewhere. */
export const ABOUT_SHAPES: readonly string[] = [
  'Where is the red star?',
  'Describe the image.',
  'How many red objects are there?',
  'What colour is the circle?',
  'What is the largest object?',
];
/** Of pictures that nothing is known of. */
const ABOUT_ANYTHING: readonly string[] = [
  'What do you see?',
  'Describe this image in detail.',
  'Which animals are there?',
];

export function pictureOfDrawing(drawing: Drawing): Picture {
  return {
    name: describe(drawing),
    width: drawing.width,
    height: drawing.height,
    drawing,
    questions: ABOUT_SHAPES,
    show: (context) => paint(context, drawing),
    input: () => pixelsOf(drawing),
  };
}

/** @throws what `createImageBitmap` throws: the browser can't show the file. */
export async function pictureOfFile(
  file: Blob,
  name: string,
  questions?: readonly string[],
): Promise<Picture> {
  const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
  return {
    ...shownBy(bitmap, name, questions),
    // The file itself: the SDK decodes it, to the same pixels everywhere.
    input: () => file,
  };
}

/** A frame of a video, as it is now. */
export function pictureOfFrame(video: HTMLVideoElement, name: string): Picture {
  const [width, height] = [video.videoWidth, video.videoHeight];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('this browser has no canvas to draw on');
  context.drawImage(video, 0, 0);
  return { ...shownBy(canvas, name), input: () => context.getImageData(0, 0, width, height) };
}

function shownBy(
  source: ImageBitmap | OffscreenCanvas,
  name: string,
  questions = ABOUT_ANYTHING,
): Omit<Picture, 'input'> {
  return {
    name,
    width: source.width,
    height: source.height,
    drawing: null,
    questions,
    show(context, width, height) {
      context.imageSmoothingQuality = 'high';
      context.clearRect(0, 0, width, height);
      context.drawImage(source, 0, 0, width, height);
    },
  };
}

function describe({ things }: Drawing): string {
  if (things.length === 0) return 'A drawn scene with nothing in it';
  return `A drawn scene: ${things.map(nameOf).join(', ')}`;
}
