/** Boxes in an answer's text, on the picture. */
import { inputToSource, parseBoxes, parseThousandths, type Box, type Geometry } from 'llava-sp';
import type { Mark } from './state.ts';

/** How many colours boxes have; see `marks.css`. */
const COLOURS = 6;

/**
 * Every whole box that `text` has so far, in source pixels; those outside the picture are left out.
 *
 * @param label what was asked for.
 * @param geometry how the picture became the model's input: the answer tells it before its first text.
 */
export function marksOf(text: string, label: string, geometry: Geometry): Mark[] {
  // LLaVA's way to write them, and InternVL's.
  return [...parseBoxes(text), ...parseThousandths(text)]
    .map(([x1, y1, x2, y2]): Box => [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)])
    .map((box) => inputToSource(box, geometry))
    .filter(([x1, y1, x2, y2]) => x1 < x2 && y1 < y2)
    .map((box, i) => mark(box, label, i));
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
