import type { Figures, Option } from '../types.ts';
import { meanOf } from './interval.ts';
import { normaliseAnswer } from './vqa.ts';

/** The options in a text: `(a) Open (b) Closed`. */
export function parseOptions(text: string): Option[] {
  return [...text.matchAll(/\(([a-z])\)\s*([^()]*)/gi)].map(([, letter, option]) => ({
    letter: letter.toLowerCase(),
    text: option.trim(),
  }));
}

/**
 * Whether an answer chooses the right option: by its letter, `(a)` or alone before the end, a dot or a colon; or by its very words. Without
 * options: the same words, normalised as VQA's. MMVP's own grader is GPT-4: this one is stricter.
 */
export function choosesRight(text: string, options: readonly Option[], answer: string): boolean {
  if (options.length === 0) return normaliseAnswer(text) === normaliseAnswer(answer);
  return chosen(text, options) === (parseOptions(answer).at(0)?.letter ?? answer.trim().toLowerCase());
}

function chosen(text: string, options: readonly Option[]): string | null {
  const letters = new Set(options.map(({ letter }) => letter));
  const named = /^\s*\(?([a-z])(?:\)|[.:]|\s*$)/i.exec(text) ?? /\(([a-z])\)/i.exec(text);
  const letter = named?.[1].toLowerCase();
  if (letter !== undefined && letters.has(letter)) return letter;
  const said = normaliseAnswer(text);
  const exact = options.filter((option) => normaliseAnswer(option.text) === said);
  if (exact.length === 1) return exact[0].letter;
  const mentioned = options.filter((option) => ` ${said} `.includes(` ${normaliseAnswer(option.text)} `));
  return mentioned.length === 1 ? mentioned[0].letter : null;
}

/** MMVP's figure: pairs whose questions are all right; and the single questions. */
export function pairFigures(answers: readonly { readonly pair: string; readonly right: boolean }[]): Figures {
  const pairs = new Map<string, boolean>();
  for (const { pair, right } of answers) pairs.set(pair, (pairs.get(pair) ?? true) && right);
  return {
    pairs: meanOf([...pairs.values()].map(Number)),
    questions: meanOf(answers.map(({ right }) => Number(right))),
  };
}
