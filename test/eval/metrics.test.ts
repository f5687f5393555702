/** The metrics of `llava-sp eval` against the field's own scripts: values that those gave, or that their formulas give by hand. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { iou, groundedRight, refcocoFigures } from '../../packages/llava-sp/src/eval/metrics/boxes.ts';
import { captionFigures, type Captioned } from '../../packages/llava-sp/src/eval/metrics/captions.ts';
import { wilson } from '../../packages/llava-sp/src/eval/metrics/interval.ts';
import { choosesRight, pairFigures, parseOptions } from '../../packages/llava-sp/src/eval/metrics/options.ts';
import { captionTokens } from '../../packages/llava-sp/src/eval/metrics/ptb.ts';
import { normaliseAnswer, vqaAccuracy } from '../../packages/llava-sp/src/eval/metrics/vqa.ts';
import { popeFigures, saysYes } from '../../packages/llava-sp/src/eval/metrics/yes_no.ts';

function reference<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8')) as T;
}

describe('VQA accuracy', () => {
  const { normalised } = reference<{ normalised: [string, string][] }>('vqa_reference.json');

  test.each(normalised)('%j is compared as %j', (text, expected) => {
    expect(normaliseAnswer(text)).toBe(expected);
  });

  test('of ten people: 0.3 for one who said the same, 0.6, 0.9, then 1', () => {
    const people = (same: number) => [
      ...Array<string>(same).fill('Red'),
      ...Array<string>(10 - same).fill('blue'),
    ];
    const scores = [0, 1, 2, 3, 4, 10].map((same) => vqaAccuracy('the red.', people(same)));
    expect(scores.map((score) => Math.round(score * 1e9) / 1e9)).toEqual([0, 0.3, 0.6, 0.9, 1, 1]);
  });

  test('of one truth: equal or not', () => {
    expect(vqaAccuracy('Two.', ['2'])).toBe(1);
    expect(vqaAccuracy('There are two.', ['2'])).toBe(0);
  });
});

describe('POPE', () => {
  test.each([
    ['Yes', true],
    ['No', false],
    ['no.', false],
    ['No, there is no dog.', false],
    ['Yes. There is no cat.', true], // the first sentence counts
    ['There is not a dog in the image', false],
    ['NO', true], // as the official script has it
    ['Nothing of the kind', true],
    ['', true],
  ])('%j says yes: %s', (text, yes) => {
    expect(saysYes(text)).toBe(yes);
  });

  test("the official script's figures", () => {
    // TP 3, FP 1, TN 4, FN 2.
    const of = (count: number, predicted: boolean, yes: boolean) =>
      Array(count).fill({ predicted, yes }) as [];
    const figures = popeFigures([
      ...of(3, true, true),
      ...of(1, true, false),
      ...of(4, false, false),
      ...of(2, false, true),
    ]);
    const values = Object.fromEntries(Object.entries(figures).map(([name, { value }]) => [name, value]));
    expect(values.accuracy).toBeCloseTo(0.7, 12);
    expect(values.precision).toBeCloseTo(0.75, 12);
    expect(values.recall).toBeCloseTo(0.6, 12);
    expect(values.F1).toBeCloseTo((2 * 0.75 * 0.6) / 1.35, 12);
    expect(values['yes-ratio']).toBeCloseTo(0.4, 12);
  });

  test('nothing but no divides by nothing', () => {
    expect(popeFigures([{ predicted: false, yes: false }]).F1.value).toBe(0);
  });
});

describe('captions', () => {
  const { tokens, captions, figures } = reference<{
    tokens: [string, string][];
    captions: Captioned[];
    figures: Record<string, { bleu: number[]; rouge: number; cider: number }>;
  }>('caption_reference.json');

  test.each(tokens)('%j has the words of the COCO evaluation', (text, expected) => {
    expect(captionTokens(text).join(' ')).toBe(expected);
  });

  test.each(Object.entries(figures))('BLEU, ROUGE-L and CIDEr-D of %s captions', (count, expected) => {
    const found = captionFigures(captions.slice(0, Number(count)));
    for (const [i, value] of expected.bleu.entries())
      expect(found[`BLEU-${i + 1}`].value).toBeCloseTo(value, 9);
    expect(found['ROUGE-L'].value).toBeCloseTo(expected.rouge, 9);
    expect(found['CIDEr-D'].value).toBeCloseTo(expected.cider, 9);
  });

  test('an empty answer is worth nothing, and is no error', () => {
    const found = captionFigures([
      { text: '', references: ['A dog.'] },
      { text: 'A cat.', references: ['A cat.'] },
    ]);
    expect(found.exact.value).toBe(0.5);
    expect(found['ROUGE-L'].value).toBeCloseTo(0.5, 12);
    expect(Object.values(found).every(({ value }) => Number.isFinite(value))).toBe(true);
  });
});

describe('RefCOCO', () => {
  test('IoU', () => {
    expect(iou([0, 0, 2, 2], [1, 1, 3, 3])).toBeCloseTo(1 / 7, 12);
    expect(iou([0, 0, 1, 1], [1, 0, 2, 1])).toBe(0);
    expect(iou([5, 5, 9, 7], [5, 5, 9, 7])).toBe(1);
  });

  test('exactly half is right; the first box counts; nothing is right where nothing is', () => {
    const truth = [[0, 0, 10, 10]] as const;
    expect(groundedRight({ found: [[0, 0, 10, 5]], truth })).toBe(1);
    expect(groundedRight({ found: [[0, 0, 10, 4.99]], truth })).toBe(0);
    expect(groundedRight({ found: [[50, 50, 60, 60], ...truth], truth })).toBe(0);
    expect(groundedRight({ found: [], truth })).toBe(0);
    expect(groundedRight({ found: [], truth: [] })).toBe(1);
    expect(groundedRight({ found: truth, truth: [] })).toBe(0);
  });

  test('what is not there has a figure of its own', () => {
    const box = [0, 0, 10, 10] as const;
    const found = refcocoFigures([
      { found: [box], truth: [box] },
      { found: [[0, 0, 10, 6]], truth: [box] },
      { found: [], truth: [] },
    ]);
    const shares = Object.fromEntries(
      Object.entries(found).map(([name, { value, n }]) => [name, [value, n]]),
    );
    expect(shares).toEqual({
      'IoU >= 0.5': [1, 2],
      'IoU >= 0.7': [0.5, 2],
      'IoU >= 0.9': [0.5, 2],
      'mean IoU': [0.8, 2],
      'not there': [1, 1],
    });
  });
});

describe('MMVP', () => {
  const options = parseOptions('(a) Open (b) Closed');

  test.each([
    ['(a)', true],
    ['(b)', false],
    ['a', true],
    ['A.', true],
    ['a) Open', true],
    ['The answer is (a)', true],
    ['Open', true],
    ['It is open.', true],
    ['A closed one', false], // no letter: the article
    ['open or closed', false],
    ['', false],
  ])('%j chooses (a): %s', (text, right) => {
    expect(choosesRight(text, options, '(a)')).toBe(right);
  });

  test('without options the words are compared', () => {
    expect(choosesRight('Yes.', [], 'yes')).toBe(true);
    expect(choosesRight('No', [], 'yes')).toBe(false);
  });

  test('a pair is right when both of its questions are', () => {
    const figures = pairFigures([
      { pair: '1', right: true },
      { pair: '1', right: true },
      { pair: '2', right: true },
      { pair: '2', right: false },
    ]);
    expect([figures.pairs.value, figures.pairs.n]).toEqual([0.5, 2]);
    expect([figures.questions.value, figures.questions.n]).toEqual([0.75, 4]);
  });
});

test("Wilson's interval, beside published values", () => {
  // Of 81 in 263 (Newcombe 1998, table I), and at the ends.
  const [low, high] = wilson(81, 263);
  expect(low).toBeCloseTo(0.2553, 4);
  expect(high).toBeCloseTo(0.3662, 4);
  expect(wilson(0, 20)[0]).toBe(0);
  expect(wilson(0, 20)[1]).toBeCloseTo(0.1611, 4);
  expect(wilson(29, 29)[0]).toBeCloseTo(0.883, 4);
});
