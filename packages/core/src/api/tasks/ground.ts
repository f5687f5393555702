import { inputToSource, parseBoxes, parseThousandths, type Box, type Geometry } from '../../image/boxes.ts';
import type { AnswerToken } from '../../pipeline/generate.ts';
import type { Answer } from '../answer.ts';
import type { ImageInput } from '../image.ts';
import type { Model } from '../model.ts';
import { Scene } from '../scene.ts';
import type { GroundedBox, GroundOptions } from './grounding.ts';
import { groundPrompt, GROUND_THRESHOLD } from './prompts.ts';

/** A box as it stands in an answer: in 0..1, with its score. */
export interface ReadBox {
  readonly box: Box;
  readonly score: number;
}

/** Asks for one phrase after another, and hands on the boxes as they become complete. */
export async function groundAll(
  model: Model,
  image: ImageInput | Scene,
  phrases: readonly string[],
  options: GroundOptions,
  emit: (box: GroundedBox) => void,
): Promise<void> {
  const { threshold = GROUND_THRESHOLD, maxTokens, signal } = options;
  // Of one phrase the model remembers the picture by itself.
  const owned = phrases.length > 1 && !(image instanceof Scene) ? await model.look(image, { signal }) : null;
  try {
    for (const text of phrases) {
      const { tasks } = model.info.config;
      const answer = model.ask(owned ?? image, groundPrompt(tasks, text), {
        format: { boxes: tasks.boxes },
        probabilities: true,
        maxTokens,
        signal,
      });
      const reader = new BoxReader(tasks.boxes);
      for await (const found of boxesOf(answer, reader)) {
        const box = found.score >= threshold && toSource(found.box, answer.picture?.geometry);
        if (box) emit({ ...box, score: found.score, text });
      }
    }
  } finally {
    owned?.dispose();
  }
}

async function* boxesOf(answer: Answer, reader: BoxReader): AsyncGenerator<ReadBox, void, undefined> {
  let read = 0;
  const fresh = (): readonly ReadBox[] => {
    const tokens = answer.tokens.slice(read);
    read += tokens.length;
    return tokens.flatMap((token) => reader.take(token));
  };
  for await (const piece of answer) if (piece !== '') yield* fresh();
  // A box's last bracket is text, which came with a piece: but for one that a piece of nothing ended.
  yield* fresh();
}

/** Reads the boxes out of an answer's tokens. */
export class BoxReader {
  readonly #parse: (text: string) => Box | undefined;
  /** What came since the last bracket that opened a box. */
  #tokens: AnswerToken[] = [];
  #text = '';

  constructor(format: 'unit' | 'thousandths') {
    this.#parse =
      format === 'unit' ? (text) => parseBoxes(text)[0] : (text) => parseThousandths(`[${text}]`)[0];
  }

  /** The boxes that this token completes. */
  take(token: AnswerToken): ReadBox[] {
    const found: ReadBox[] = [];
    // A token may end one box and begin another.
    const parts = token.text.split(/(?<=\])|(?=\[)/);
    for (const part of parts) {
      if (part.startsWith('[')) {
        this.#tokens = [];
        this.#text = '';
      }
      this.#text += part;
      this.#tokens.push({ ...token, text: part });
      const box = part.endsWith(']') ? this.#parse(this.#text) : undefined;
      if (!box) continue;
      const likely = this.#tokens.filter(({ text }) => /\d/.test(text)).map(({ probability }) => probability);
      found.push({ box, score: likely.reduce((sum, value) => sum + value, 0) / likely.length });
      this.#tokens = [];
      this.#text = '';
    }
    return found;
  }
}

/** In source pixels, clipped; `null` where nothing of it is in the picture. */
function toSource(
  [x1, y1, x2, y2]: Box,
  geometry: Geometry | undefined,
): Pick<GroundedBox, 'x1' | 'y1' | 'x2' | 'y2'> | null {
  if (!geometry) return null;
  const sorted: Box = [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
  const [left, top, right, bottom] = inputToSource(sorted, geometry);
  return left < right && top < bottom ? { x1: left, y1: top, x2: right, y2: bottom } : null;
}
