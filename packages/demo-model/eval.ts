/**
 * How an answer of the demo model is scored.
 */

/** (x1, y1, x2, y2) in 0..1 of the image padded to a square. */
export type Box = readonly [number, number, number, number];

/** One line of `questions.jsonl`. */
export interface EvalRow {
  readonly id: string;
  /** File name of the picture, beside `questions.jsonl`. */
  readonly image: string;
  readonly task: string;
  readonly prompt: string;
  readonly answer: string;
  /** The truth, where the answer is a box. */
  readonly box?: Box;
  /** Native size of the picture, in pixels. */
  readonly width: number;
  readonly height: number;
}

/** What `score` needs of a row. */
export type Truth = Pick<EvalRow, 'answer' | 'box'>;

/** The groups that the package's figures are given for, by the names of their tasks. */
export const groups: Readonly<Record<string, readonly string[]>> = {
  'yes/no': ['exists'],
  count: ['count'],
  attribute: ['colour', 'shape', 'size'],
  grounding: ['ground_attribute', 'ground_ordinal', 'ground_relation', 'where'],
  relation: ['relation_yes_no', 'relation_what'],
  absent: ['where_absent'],
  describe: ['describe'],
  caption: ['caption'],
};

/**
 * Whether an answer is right. A box: IoU of at least 0.5 with the truth. A caption: the same things in any order.
 * Anything else: the same words, whatever the case and punctuation.
 */
export function score(task: string, answer: string, truth: Truth): boolean {
  if (truth.box) {
    const box = parseBox(answer);
    return box !== null && iou(box, truth.box) >= 0.5;
  }
  if (task === 'caption') return captionParts(answer) === captionParts(truth.answer);
  return words(answer) === words(truth.answer);
}

/** Lower case, letters and digits only, single spaces. */
function words(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
}

function captionParts(text: string): string {
  return words(text.replaceAll(',', ' and '))
    .split(/(?:^| )and(?: |$)/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .sort()
    .join('|');
}

/** Reads `[x1, y1, x2, y2]`; `null` when the text is anything else. */
function parseBox(text: string): Box | null {
  const match = /^\s*\[?\s*([^,[\]]+),([^,[\]]+),([^,[\]]+),([^,[\]]+?)\]?\s*$/.exec(text);
  if (!match) return null;
  const [x1, y1, x2, y2] = match.slice(1, 5).map((part) => Number(part.trim() || 'none'));
  const box: Box = [x1, y1, x2, y2];
  return box.every((value) => Number.isFinite(value)) ? box : null;
}

/** Area of the intersection over area of the union, 0..1. */
function iou(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]);
  return (width * height) / (area - width * height);
}
