import type { Figures } from '../types.ts';
import { meanOf } from './interval.ts';

/**
 * How POPE's and LLaVA's scripts read an answer: of its first sentence, without commas, any of the words No, no, not means no;
 * everything else, an empty answer too, means yes.
 */
export function saysYes(text: string): boolean {
  const words = text.split('.')[0].replaceAll(',', '').split(' ');
  return !['No', 'not', 'no'].some((word) => words.includes(word));
}

/** POPE's figures of predictions beside truths. A ratio over nothing is 0. */
export function popeFigures(
  pairs: readonly { readonly predicted: boolean; readonly yes: boolean }[],
): Figures {
  const count = (predicted: boolean, yes: boolean): number =>
    pairs.filter((pair) => pair.predicted === predicted && pair.yes === yes).length;
  const [tp, fp, fn] = [count(true, true), count(true, false), count(false, true)];
  const n = pairs.length;
  const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
  return {
    accuracy: meanOf(pairs.map(({ predicted, yes }) => (predicted === yes ? 1 : 0))),
    F1: { value: ratio(2 * tp, 2 * tp + fp + fn), n },
    precision: { value: ratio(tp, tp + fp), n },
    recall: { value: ratio(tp, tp + fn), n },
    'yes-ratio': { value: ratio(tp + fp, n), n },
  };
}
