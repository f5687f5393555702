import { ArgumentError } from '../../errors/index.ts';
import type { Box } from '../../image/boxes.ts';
import type { AskOptions } from '../options.ts';
import type { GroundOptions } from './grounding.ts';

/** How a picture is captioned; the other options are those of `ask`. */
export interface CaptionOptions extends AskOptions {
  /** One sentence, the default, or all there is to say. */
  length?: 'short' | 'detailed';
}

/** A part of a picture, in pixels of the upright source. */
export interface PixelBox {
  /** Left; smaller than `x2`. */
  readonly x1: number;
  /** Top; smaller than `y2`. */
  readonly y1: number;
  /** Right. */
  readonly x2: number;
  /** Bottom. */
  readonly y2: number;
}

const PIXELS = 'Pass { x1, y1, x2, y2 } in pixels of the picture, x1 < x2 and y1 < y2.';

/** The phrases, each a text. @throws {ArgumentError} `OPTION_INVALID`, `PROMPT_EMPTY`. */
export function checkGround(
  phrases: string | readonly string[],
  { threshold }: GroundOptions,
): readonly string[] {
  const list: unknown = typeof phrases === 'string' ? [phrases] : phrases;
  if (!isTexts(list)) {
    throw invalid('The phrases are no text, and no list of texts.', 'Pass what to find, as "the red star".');
  }
  if (list.some((phrase) => phrase.trim() === '')) {
    throw new ArgumentError({
      code: 'PROMPT_EMPTY',
      message: 'A phrase is empty.',
      fix: 'Pass what to find, as "the red star".',
    });
  }
  if (threshold !== undefined && !(isNumber(threshold) && threshold >= 0 && threshold <= 1)) {
    throw invalid(
      `threshold is ${isNumber(threshold) ? threshold : typeof threshold}; it must be a number from 0 to 1.`,
      'Leave it out for the default.',
    );
  }
  return list;
}

/** A box with some of the picture in it, clipped. @throws {ArgumentError} `OPTION_INVALID`. */
export function checkBox(
  box: PixelBox | null,
  { width, height }: { readonly width: number; readonly height: number },
): Box {
  if (!box || ![box.x1, box.y1, box.x2, box.y2].every(isNumber)) {
    throw invalid('The box is not four numbers.', PIXELS);
  }
  const { x1, y1, x2, y2 } = box;
  const clipped: Box = [Math.max(x1, 0), Math.max(y1, 0), Math.min(x2, width), Math.min(y2, height)];
  if (clipped[0] < clipped[2] && clipped[1] < clipped[3]) return clipped;
  throw invalid(
    `The box from ${x1}, ${y1} to ${x2}, ${y2} has nothing of the ${width} x ${height} picture in it.`,
    PIXELS,
  );
}

/** The error for a caption's length that there is none of. */
export function notLength(length: unknown): ArgumentError {
  const shown = typeof length === 'string' ? JSON.stringify(length) : typeof length;
  return invalid(`length is ${shown}; it must be "short" or "detailed".`, 'Leave it out for the default.');
}

function isTexts(list: unknown): list is readonly string[] {
  return Array.isArray(list) && list.every((phrase) => typeof phrase === 'string');
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}

function invalid(message: string, fix: string): ArgumentError {
  return new ArgumentError({ code: 'OPTION_INVALID', message, fix });
}
