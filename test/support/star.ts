/** The red star of examples/images/scene.png: where it is, and what the demo model says of it. */
import { fileURLToPath } from 'node:url';
import { paddedToSource, parseBoxes, type Box } from '@llava-sp/node';
import { iou } from '../../packages/llava-sp/src/eval/metrics/boxes.ts';
import { answered } from './answered.ts';

export const WHERE = 'Where is the red star?';
const scene = fileURLToPath(new URL('../../examples/images/scene.png', import.meta.url));
/** In pixels of the picture. */
const [WIDTH, HEIGHT] = [480, 360];
const STAR: Box = [296, 58, 404, 165];

/** Whether a box in pixels of the picture is right, as RefCOCO counts. */
export function isStar(box: Box): boolean {
  return iou(box, STAR) >= 0.5;
}

/** Whether a text is one box, and a right one. */
export function saysStar(text: string): boolean {
  const boxes = parseBoxes(text);
  return boxes.length === 1 && isStar(paddedToSource(boxes[0], WIDTH, HEIGHT));
}

/**
 * Stands for what the model says to {@link WHERE}; compare with `toEqual`. The star's left edge lies between two hundredths.
 *
 * @throws where that is not the star.
 */
export async function starAnswer(): Promise<string> {
  return (answer ??= answered(async (model) => {
    const text = await model.ask(scene, WHERE).text();
    if (!saysStar(text)) throw new Error(`the red star is not at ${text}`);
    return text;
  }));
}

let answer: Promise<string> | undefined;
