import { ArgumentError } from '@llava-sp/core';
import { loadListening } from '@llava-sp/core/calibrate';
import { nodeHost } from '@llava-sp/node';
import { BLOCK, momentsSize, type Moments } from './quantise/feedback.ts';

/** Longer rows are those of covering convolutions: each picture is one row of theirs, and a hundred tell little of 10,000. */
const MOST_COLUMNS = 32_768;
/** Of an answer: enough to see words that the question does not have. */
const MOST_TOKENS = 64;

/** A picture to look at, and what is asked about it. */
export interface CalibrationQuestion {
  /** A path or an address. */
  readonly image: string;
  /** Left out: the picture is described. */
  readonly text?: string;
}

/** What a conversion looks at, to choose codes by what the products give. */
export interface Calibration {
  /** Some dozens; pictures and questions of the kind that the model is for. */
  readonly questions: readonly CalibrationQuestion[];
  /** A folder that loads, of the same model: the checkpoint itself where it is an on-device one, else converted before. */
  readonly model?: string | URL;
  /** Hears how many questions are done. */
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * Asks the questions and adds up the second moments of the inputs of every product, by the on-device name of its weight.
 * The memory does not grow with the questions: 512 bytes for each column of a product's input.
 *
 * @throws {ArgumentError} `OPTION_INVALID` without questions; what loading and asking throw.
 */
export async function calibrate(
  model: string | URL,
  { questions, onProgress }: Calibration,
  options: { readonly threads: number; readonly signal?: AbortSignal },
): Promise<Map<string, Moments>> {
  if (questions.length === 0) throw nothingToSee();
  const { signal } = options;
  const moments = new Map<string, Moments>();
  const hear = (weights: readonly string[], x: Float32Array, k: number): void => {
    const [key] = weights;
    const known = moments.get(key) ?? { key, values: new Float32Array(momentsSize(k)) };
    for (const name of weights) moments.set(name, known);
    addMoments(known.values, x, k);
  };
  const loaded = await loadListening(nodeHost, model, { ...options, hear, most: MOST_COLUMNS });
  try {
    for (const [i, { image, text }] of questions.entries()) {
      const limits = { maxTokens: MOST_TOKENS, signal };
      const answer =
        text === undefined
          ? loaded.caption(image, { ...limits, length: 'detailed' })
          : loaded.ask(image, text, limits);
      await answer.text();
      onProgress?.(i + 1, questions.length);
    }
  } finally {
    await loaded.dispose();
  }
  return moments;
}

/** Adds `sum x x^T` of rows `[n, k]`, the upper triangle of each block. */
export function addMoments(moments: Float32Array, x: Float32Array, k: number): void {
  for (let row = 0; row < x.length; row += k) {
    for (let start = 0; start < k; start += BLOCK) {
      const n = Math.min(BLOCK, k - start);
      const at = row + start;
      for (let i = 0; i < n; i++) {
        const value = x[at + i];
        const to = start * BLOCK + i * n;
        for (let j = i; j < n; j++) moments[to + j] += value * x[at + j];
      }
    }
  }
}

function nothingToSee(): ArgumentError {
  return new ArgumentError({
    code: 'OPTION_INVALID',
    message: 'There is no picture to calibrate by.',
    fix: 'Pass a folder of pictures, or a question.jsonl that names some.',
  });
}
