/** Boxes in an answer's text, on the picture. */
import {
  paddedToSource,
  parseBoxes,
  parseThousandths,
  pictureToSource,
  type Box,
  type Model,
} from 'llava-sp';
import type { Mark } from './state.ts';

/** How many colours boxes have; see `marks.css`. */
const COLOURS = 6;

/** Every whole box that `text` has so far, in source pixels. @param label what was asked for. */
export function marksOf(text: string, label: string, model: Model, width: number, height: number): Mark[] {
  const padded = model.info.config.imageAspectRatio === 'pad';
  const toSource = padded ? paddedToSource : pictureToSource;
  // LLaVA's way to write them, and InternVL's.
  const boxes = [...parseBoxes(text), ...parseThousandths(text)];
  return boxes.map((box, i) => mark(toSource(box, width, height), label, i));
}

export function mark(box: Box, label: string, index: number): Mark {
  return { box, label, colour: index % COLOURS };
}

/** Where a box lies, in words: for those who do not see it. */
export function placeOf([x1, y1, x2, y2]: Box, width: number, height: number): string {
  const third = (v: number, names: readonly [string, string, string]): string =>
    names[v < 1 / 3 ? 0 : v < 2 / 3 ? 1 : 2];
  const row = third((y1 + y2) / 2 / height, ['top', 'middle', 'bottom']);
  const column = third((x1 + x2) / 2 / width, ['left', 'centre', 'right']);
  return `${row} ${column}`;
}
