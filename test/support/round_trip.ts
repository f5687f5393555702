/** What a converted golden checkpoint gives, by stages and through the public API. */
import { fileURLToPath } from 'node:url';
import { load, type Answer } from '@llava-sp/node';
import type { Backend } from '../../packages/core/src/backend/index.ts';
import {
  argmax,
  loadGolden,
  runPrefix,
  runSteps,
  runVision,
  stageOf,
  visionPairs,
  type GoldenModel,
} from './golden_model.ts';
import { difference } from './tolerance.ts';

export const STEPS = 32;

export interface StageError {
  readonly what: string;
  /** The largest, in parts of the stage's largest value. */
  readonly error: number;
}

/** Errors of every stage of the vision part and of all steps' logits, and the tokens; disposes of the backend. */
export async function stageErrors(
  backend: Backend,
  model: GoldenModel,
): Promise<{ errors: StageError[]; tokens: number[] }> {
  try {
    await loadGolden(backend, model);
    const pairs = visionPairs(model, await runVision(backend, model));
    const rows = await runSteps(backend, model, await runPrefix(backend, model), STEPS);
    const { vocab } = model.config.text;
    const truth = stageOf(model.stages, 'logits');
    rows.forEach((got, i) => {
      pairs.push({ what: `logits ${i}`, got, want: truth.subarray(i * vocab, (i + 1) * vocab) });
    });
    const errors = pairs.map(({ what, got, want }) => ({ what, error: difference(got, want).largest }));
    return { errors, tokens: rows.map(argmax) };
  } finally {
    await backend.dispose();
  }
}

/** The picture of a golden checkpoint. */
export function publishedImage(name: string): string {
  return fileURLToPath(new URL(`../golden/published/${name}/golden/image.png`, import.meta.url));
}

/** The answer of {@link STEPS} tokens that a folder gives to a golden's picture and question. */
export async function answerOf(
  folder: URL,
  name: string,
  question: string,
): Promise<{ text: string; usage: Answer['usage'] }> {
  const model = await load(fileURLToPath(folder), { device: 'wasm', threads: 1 });
  try {
    const answer = model.ask(publishedImage(name), question, { maxTokens: STEPS });
    return { text: await answer.text(), usage: answer.usage };
  } finally {
    await model.dispose();
  }
}
