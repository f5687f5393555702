/**
 * `model.ground` of the demo model beside its own unconstrained answers: do all outputs parse, how many boxes are right, what is
 * recognised as absent, and what a threshold on the score would change. The phrases: by default those of the committed benchmark; more
 * of them in a folder that `python -m recipe.benchmark` writes (packages/demo-model/README.md).
 *
 *   npm run bench:ground -- [--set DIR] [--device NAME] [--threads N] [--out FILE] [--limit N]
 */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { load, inputToSource, parseBoxes, type Box, type Device, type GroundedBox } from '@llava-sp/node';
import { modelUrl } from '@llava-sp/demo-model';
import { groundPrompt } from '../../packages/core/src/api/tasks/prompts.ts';
import { groundedRight } from '../../packages/llava-sp/src/eval/metrics/boxes.ts';
import { demoSet, taskNamed, tasksOf } from '../support/demo_set.ts';
import { columns } from './table.ts';

/** One phrase: what is true of it, what was found, and what the model says without a constraint. Boxes in pixels of the picture. */
export interface GroundedRow {
  readonly phrase: string;
  /** None where it is not there. */
  readonly truth: readonly Box[];
  /** The best box of `ground`, and its score; `null`: not there. */
  readonly found: { readonly box: Box; readonly score: number } | null;
  /** Whether the text under the constraint can be read: a box, or words without a bracket. */
  readonly parsed: boolean;
  /** The boxes of the same question, asked without a constraint. */
  readonly free: readonly Box[];
  /** Milliseconds. */
  readonly time: number;
}

export interface GroundOptions {
  readonly folder: string;
  readonly device?: Device;
  readonly threads?: number;
  readonly limit?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Grounds every phrase of a set. Thresholds are left to the reader: all boxes are kept. */
export async function groundSet(options: GroundOptions): Promise<GroundedRow[]> {
  const { folder, device, threads, limit = Infinity, onProgress } = options;
  const { images, items } = taskNamed(await tasksOf(folder), 'refcoco');
  const asked = items.slice(0, limit);
  const results: GroundedRow[] = [];
  const model = await load(modelUrl, { device, threads });
  try {
    for (const { image: name, text: phrase, truth } of asked) {
      const image = join(images, name);
      const start = performance.now();
      const { boxes } = await model.ground(image, phrase, { threshold: 0 });
      const time = performance.now() - start;
      const prompt = groundPrompt(model.info.config.tasks, phrase);
      // The same decoding once more, for its text.
      const answer = model.ask(image, prompt, { format: { boxes: 'unit' } });
      const text = await answer.text();
      // Every bracket is a box's, and none was cut short.
      const parsed = answer.finishReason === 'stop' && parseBoxes(text).length === text.split('[').length - 1;
      const best = boxes.toSorted((a, b) => b.score - a.score).at(0);
      const unbound = model.ask(image, prompt);
      const said = parseBoxes(await unbound.text());
      const geometry = unbound.picture?.geometry;
      results.push({
        phrase,
        truth: truth.kind === 'boxes' ? truth.boxes : [],
        found: best ? { box: cornersOf(best), score: best.score } : null,
        parsed,
        free: geometry ? said.map((box) => inputToSource(box, geometry)) : [],
        time,
      });
      onProgress?.(results.length, asked.length);
    }
  } finally {
    await model.dispose();
  }
  return results;
}

function cornersOf({ x1, y1, x2, y2 }: GroundedBox): Box {
  return [x1, y1, x2, y2];
}

export interface GroundFigures {
  readonly present: number;
  readonly absent: number;
  /** Shares in 0..1: of all outputs; of present phrases with IoU of at least 0.5, by `ground` and without a constraint. */
  readonly parsed: number;
  readonly right: number;
  readonly rightUnconstrained: number;
  /** Of absent phrases, without a box. */
  readonly absentRecognised: number;
  readonly absentRecognisedUnconstrained: number;
  /** Median, in milliseconds, pictures that are new included. */
  readonly milliseconds: number;
  /** What each threshold keeps of the right boxes and of the phrases that are there, and recognises as absent. */
  readonly thresholds: readonly {
    readonly threshold: number;
    readonly right: number;
    readonly presentKept: number;
    readonly absentRecognised: number;
  }[];
}

/** What became of the phrases, at every threshold. */
export function figuresOf(results: readonly GroundedRow[]): GroundFigures {
  const present = results.filter(({ truth }) => truth.length > 0);
  const absent = results.filter(({ truth }) => truth.length === 0);
  const share = (list: readonly GroundedRow[], test: (result: GroundedRow) => boolean): number =>
    list.filter(test).length / list.length;
  const kept = ({ found }: GroundedRow, threshold: number): Box[] =>
    found !== null && found.score >= threshold ? [found.box] : [];
  const right = (row: GroundedRow, threshold: number): boolean =>
    groundedRight({ found: kept(row, threshold), truth: row.truth }) === 1;
  const rightFreely = ({ free, truth }: GroundedRow): boolean => groundedRight({ found: free, truth }) === 1;
  const times = results.map(({ time }) => time).sort((a, b) => a - b);
  return {
    present: present.length,
    absent: absent.length,
    parsed: share(results, ({ parsed }) => parsed),
    right: share(present, (row) => right(row, 0)),
    rightUnconstrained: share(present, rightFreely),
    absentRecognised: share(absent, (row) => right(row, 0)),
    absentRecognisedUnconstrained: share(absent, rightFreely),
    milliseconds: times[times.length >> 1],
    thresholds: [0.05, 0.1, 0.12, 0.14, 0.15, 0.16, 0.18, 0.2].map((threshold) => ({
      threshold,
      right: share(present, (row) => right(row, threshold)),
      presentKept: share(present, (row) => kept(row, threshold).length > 0),
      absentRecognised: share(absent, (row) => right(row, threshold)),
    })),
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      set: { type: 'string' },
      device: { type: 'string' },
      threads: { type: 'string' },
      out: { type: 'string' },
      limit: { type: 'string' },
    },
  });
  const results = await groundSet({
    folder: resolve(values.set ?? demoSet),
    device: values.device as Device | undefined,
    threads: values.threads === undefined ? undefined : Number(values.threads),
    limit: values.limit === undefined ? undefined : Number(values.limit),
    onProgress: (done, total) => {
      if (done % 100 === 0 || done === total) process.stderr.write(`${done} of ${total} phrases\n`);
    },
  });
  const figures = figuresOf(results);
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  console.log(
    columns([
      ['', 'ground', 'unconstrained'],
      ['outputs that parse', percent(figures.parsed), ''],
      [`right, of ${figures.present} present`, percent(figures.right), percent(figures.rightUnconstrained)],
      [
        `recognised, of ${figures.absent} absent`,
        percent(figures.absentRecognised),
        percent(figures.absentRecognisedUnconstrained),
      ],
    ]),
  );
  console.log('\nWhat a threshold would change:');
  console.log(
    columns([
      ['threshold', 'right', 'present kept', 'absent recognised'],
      ...figures.thresholds.map(({ threshold, right, presentKept, absentRecognised }) => [
        String(threshold),
        percent(right),
        percent(presentKept),
        percent(absentRecognised),
      ]),
    ]),
  );
  console.log(`\n${figures.milliseconds.toFixed(0)} ms a phrase`);
  if (values.out) await writeFile(values.out, `${JSON.stringify(figures, null, 2)}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
