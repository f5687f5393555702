/**
 * BLEU-1 to 4, ROUGE-L and CIDEr-D as the COCO caption evaluation computes them (`pycocoevalcap`): corpus BLEU with the closest
 * reference length, ROUGE-L with beta 1.2 of the best precision and the best recall, CIDEr-D with sigma 6 over n-grams of 1 to 4 and
 * document frequencies from the references at hand.
 */
import type { Figures } from '../types.ts';
import { captionTokens } from './ptb.ts';

/** One caption and its references, as texts. */
export interface Captioned {
  readonly text: string;
  readonly references: readonly string[];
}

type Tokens = readonly string[];
interface Case {
  readonly tokens: Tokens;
  readonly references: readonly Tokens[];
}

/** All figures of some captions; of none, there are none. */
export function captionFigures(captions: readonly Captioned[]): Figures {
  if (captions.length === 0) return {};
  const cases = captions.map(({ text, references }) => ({
    tokens: captionTokens(text),
    references: references.map(captionTokens),
  }));
  const n = captions.length;
  const exact = cases.filter(({ tokens, references }) =>
    references.some((other) => other.join(' ') === tokens.join(' ')),
  );
  return {
    'CIDEr-D': { value: ciderD(cases), n },
    ...Object.fromEntries(bleu(cases).map((value, i) => [`BLEU-${i + 1}`, { value, n }])),
    'ROUGE-L': { value: mean(cases.map(rougeL)), n },
    exact: { value: exact.length / n, n },
  };
}

/** In 0..1, of one caption. */
export function rougeOf({ text, references }: Captioned): number {
  return rougeL({ tokens: captionTokens(text), references: references.map(captionTokens) });
}

const ORDERS = [1, 2, 3, 4] as const;

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** How often each n-gram stands in a text. */
function countGrams(tokens: Tokens, order: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + order <= tokens.length; i++) {
    const gram = tokens.slice(i, i + order).join(' ');
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  return counts;
}

/** BLEU-1 to 4 of a corpus. The small numbers are the original's: they keep what is 0 from being divided by. */
function bleu(cases: readonly Case[]): number[] {
  const [small, tiny] = [1e-9, 1e-15];
  let [length, referenceLength] = [0, 0];
  for (const { tokens, references } of cases) {
    const lengths = references.map((reference) => reference.length);
    const distance = (value: number) => Math.abs(value - tokens.length);
    // Of two that are as close, the shorter.
    referenceLength += lengths.toSorted((a, b) => distance(a) - distance(b) || a - b)[0];
    length += tokens.length;
  }
  const ratio = (length + tiny) / (referenceLength + small);
  const penalty = ratio < 1 ? Math.exp(1 - 1 / ratio) : 1;
  let product = 1;
  return ORDERS.map((order) => {
    let [guessed, correct] = [0, 0];
    for (const { tokens, references } of cases) {
      guessed += Math.max(0, tokens.length - order + 1);
      const allowed = references.map((reference) => countGrams(reference, order));
      for (const [gram, count] of countGrams(tokens, order)) {
        correct += Math.min(count, Math.max(...allowed.map((counts) => counts.get(gram) ?? 0)));
      }
    }
    product *= (correct + tiny) / (guessed + small);
    return product ** (1 / order) * penalty;
  });
}

function rougeL({ tokens, references }: Case): number {
  const beta = 1.2;
  // The original splits an empty text into one empty word.
  const size = (list: Tokens): number => Math.max(1, list.length);
  const common = references.map((reference) => longestCommon(tokens, reference));
  const precision = Math.max(...common.map((length) => length / size(tokens)));
  const recall = Math.max(...common.map((length, i) => length / size(references[i])));
  if (precision === 0 || recall === 0) return 0;
  return ((1 + beta ** 2) * precision * recall) / (recall + beta ** 2 * precision);
}

/** Length of the longest common subsequence. */
function longestCommon(a: Tokens, b: Tokens): number {
  let row = new Array<number>(b.length + 1).fill(0);
  for (const token of a) {
    const next = [0];
    for (const [j, other] of b.entries()) {
      next.push(token === other ? row[j] + 1 : Math.max(row[j + 1], next[j]));
    }
    row = next;
  }
  return row[b.length];
}

/** tf-idf of the n-grams of each order, their norms, and the text's length. */
interface Weighted {
  readonly grams: readonly ReadonlyMap<string, number>[];
  readonly norms: readonly number[];
  /** In pairs of words, as the original counts it. */
  readonly length: number;
}

function ciderD(cases: readonly Case[]): number {
  const frequency = new Map<string, number>();
  for (const { references } of cases) {
    const seen = new Set(
      references.flatMap((tokens) => ORDERS.flatMap((order) => [...countGrams(tokens, order).keys()])),
    );
    for (const gram of seen) frequency.set(gram, (frequency.get(gram) ?? 0) + 1);
  }
  const documents = Math.log(cases.length);
  const weigh = (tokens: Tokens): Weighted => {
    const grams = ORDERS.map((order) => {
      const counts = countGrams(tokens, order);
      const idf = (gram: string) => documents - Math.log(Math.max(1, frequency.get(gram) ?? 0));
      return new Map([...counts].map(([gram, count]) => [gram, count * idf(gram)]));
    });
    const norms = grams.map((map) =>
      Math.sqrt([...map.values()].reduce((sum, value) => sum + value ** 2, 0)),
    );
    return { grams, norms, length: Math.max(0, tokens.length - 1) };
  };
  return mean(
    cases.map(({ tokens, references }) => {
      const said = weigh(tokens);
      return 10 * mean(references.map((reference) => similarity(said, weigh(reference))));
    }),
  );
}

/** The mean over the orders of clipped cosines, times a penalty for another length. */
function similarity(said: Weighted, reference: Weighted): number {
  const penalty = Math.exp(-((said.length - reference.length) ** 2) / (2 * 6 ** 2));
  const cosines = said.grams.map((grams, i) => {
    let dot = 0;
    for (const [gram, weight] of grams) {
      const other = reference.grams[i].get(gram) ?? 0;
      dot += Math.min(weight, other) * other;
    }
    const norm = said.norms[i] * reference.norms[i];
    return norm === 0 ? dot : dot / norm;
  });
  return penalty * mean(cosines);
}
