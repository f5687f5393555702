import { captionFigures, rougeOf } from './metrics/captions.ts';
import { groundedRight, refcocoFigures } from './metrics/boxes.ts';
import { meanOf } from './metrics/interval.ts';
import { choosesRight, pairFigures } from './metrics/options.ts';
import { vqaAccuracy } from './metrics/vqa.ts';
import { popeFigures, saysYes } from './metrics/yes_no.ts';
import type { Answered, Figures } from './types.ts';

/** The figures of a split, a category, or a category of a split. */
export interface Group {
  readonly split: string | null;
  readonly category: string | null;
  readonly figures: Figures;
}

/** 0..1 for one answer: what the running score adds up, and failures lack. `null` where there is no truth. */
export function pointsOf({ item: { truth }, text, boxes, error }: Answered): number | null {
  switch (truth.kind) {
    case 'none':
      return null;
    case 'yes_no':
      return error === null && saysYes(text) === truth.yes ? 1 : 0;
    case 'answers':
      return error === null ? vqaAccuracy(text, truth.answers) : 0;
    case 'boxes':
      return error === null ? groundedRight({ found: boxes, truth: truth.boxes }) : 0;
    case 'pair':
      return error === null && choosesRight(text, truth.options, truth.answer) ? 1 : 0;
    case 'captions':
      return error === null ? rougeOf({ text, references: truth.references }) : 0;
  }
}

/** The figures of answers to one task. */
export function figuresOf(answers: readonly Answered[]): Figures {
  const yesNo: { predicted: boolean; yes: boolean }[] = [];
  const points: number[] = [];
  const phrases: Parameters<typeof refcocoFigures>[0][number][] = [];
  const pairs: { pair: string; right: boolean }[] = [];
  const captions: { text: string; references: readonly string[] }[] = [];
  for (const answered of answers) {
    const { item, text, boxes, error } = answered;
    const { truth } = item;
    if (truth.kind === 'yes_no') {
      yesNo.push({ predicted: error === null ? saysYes(text) : !truth.yes, yes: truth.yes });
    } else if (truth.kind === 'answers') points.push(pointsOf(answered) ?? 0);
    else if (truth.kind === 'pair') pairs.push({ pair: truth.pair, right: pointsOf(answered) === 1 });
    else if (truth.kind === 'captions') captions.push({ text, references: truth.references });
    // What could not be asked is wrong, also where nothing was to be found.
    else if (truth.kind === 'boxes') {
      const nowhere = [[0, 0, 0, 0]] as const;
      phrases.push({ found: error === null ? boxes : nowhere, truth: truth.boxes });
    }
  }
  return {
    ...(yesNo.length > 0 ? popeFigures(yesNo) : {}),
    ...(points.length > 0 ? { accuracy: meanOf(points) } : {}),
    ...(phrases.length > 0 ? refcocoFigures(phrases) : {}),
    ...(pairs.length > 0 ? pairFigures(pairs) : {}),
    ...captionFigures(captions),
  };
}

/** By split, by category, and by both, where there are several. */
export function groupsOf(answers: readonly Answered[]): Group[] {
  const splits = distinct(answers.map(({ item }) => item.split));
  const categories = distinct(answers.map(({ item }) => item.category));
  const several = (list: readonly (string | null)[]) => (list.length > 1 ? list : []);
  const both = splits.length > 1 && categories.length > 1;
  const groups = [
    ...several(splits).map((split) => ({ split, category: null })),
    ...several(categories).map((category) => ({ split: null, category })),
    ...(both ? splits.flatMap((split) => categories.map((category) => ({ split, category }))) : []),
  ];
  return groups.flatMap((group) => {
    const fits = ({ item }: Answered): boolean =>
      (group.split === null || item.split === group.split) &&
      (group.category === null || item.category === group.category);
    const members = answers.filter(fits);
    return members.length === 0 ? [] : [{ ...group, figures: figuresOf(members) }];
  });
}

/** In the order in which they come; what has none is of no group of its own. */
function distinct(values: readonly (string | null)[]): string[] {
  return [...new Set(values)].filter((value) => value !== null);
}
