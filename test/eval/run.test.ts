/** Asking: pictures are looked at once, one that is broken ends nothing, boxes of both frames, going on after an abort. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { modelUrl } from '@llava-sp/demo-model';
import { load, type Geometry, type Model } from '@llava-sp/node';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { AnswersFile } from '../../packages/llava-sp/src/eval/answers.ts';
import { saysYes } from '../../packages/llava-sp/src/eval/metrics/yes_no.ts';
import { reportTask } from '../../packages/llava-sp/src/eval/report.ts';
import { askAll, taskRun, type TaskRun } from '../../packages/llava-sp/src/eval/run.ts';
import type { Item, Task } from '../../packages/llava-sp/src/eval/types.ts';
import { floorOf } from '../support/demo_figures.ts';
import { taskNamed, tasksOf } from '../support/demo_set.ts';
import { withFiles } from './folder.ts';

let model: Model;
let tasks: readonly Task[];

beforeAll(async () => {
  tasks = await tasksOf();
  model = await load(modelUrl, { device: 'wasm', threads: 1 });
}, 60_000);
afterAll(() => model?.dispose());

const named = (name: string): Task => taskNamed(tasks, name);

interface Options {
  readonly signal?: AbortSignal;
  readonly onAnswer?: (done: number, points: number | null, error: string | null) => void;
}

async function ask(runs: readonly TaskRun[], { signal, onAnswer }: Options = {}, of = model): Promise<void> {
  const options = {
    modelId: 'm',
    signal: signal ?? new AbortController().signal,
    onAnswer: onAnswer ?? (() => undefined),
  };
  await askAll(of, runs, options);
}

test('each picture is looked at once for the questions of all tasks, and the answers are those of ask', async () => {
  const pictures = [...new Set(named('pope').items.map(({ image }) => image))].slice(0, 2);
  // The questions of the two pictures by turns.
  const mixed = (name: string): Item[] => {
    const of = pictures.map((image) => named(name).items.filter((item) => item.image === image));
    return [of[0][0], of[1][0], ...of[0].slice(1), ...of[1].slice(1)].filter((item) => item !== undefined);
  };
  const chosen = ['vqa', 'pope'].map((name) => ({ ...named(name), items: mixed(name) }));
  const look = vi.spyOn(model, 'look');
  const runs = chosen.map((task) => taskRun(task, null));
  await ask(runs);
  expect(look).toHaveBeenCalledTimes(2);
  look.mockRestore();
  for (const { task, lines } of runs) {
    for (const [i, item] of task.items.entries()) {
      expect(lines[i]?.prompt).toBe(item.text);
      expect(lines[i]?.text).toBe(await model.ask(join(task.images, item.image), item.text).text());
    }
  }
  expect(runs[0].task.items.length).toBeGreaterThanOrEqual(3);
  expect(new Set(runs.flatMap(({ lines }) => lines).map((line) => line?.answer_id)).size).toBe(
    runs.reduce((sum, { lines }) => sum + lines.length, 0),
  );
});

test('a picture that is broken or missing is an error of its questions, and counts as wrong', async () => {
  const [first] = named('pope').items;
  const picture = join(named('pope').images, first.image);
  const said = await model.ask(picture, first.text).text();
  // What it says counts as right, whatever it is.
  const good: Item = { ...first, truth: { kind: 'yes_no', yes: saysYes(said) } };
  const bytes = await readFile(picture);
  await withFiles({ 'broken.png': 'this is no picture' }, async (images) => {
    const { writeFile } = await import('node:fs/promises');
    await writeFile(join(images, good.image), bytes);
    const items = ['broken.png', good.image, 'missing.png', 'elsewhere/on/a/disk/broken.png'].map(
      (image, i) => ({
        ...good,
        id: i,
        image,
      }),
    );
    const errors: (string | null)[] = [];
    const run = taskRun({ ...named('pope'), images, items }, null);
    await ask([run], { onAnswer: (_done, _points, error) => errors.push(error) });
    expect(errors.filter((error) => error === null)).toHaveLength(1);
    expect(run.lines.map((line) => line?.metadata.error?.split(':')[0] ?? line?.text)).toEqual([
      'IMAGE_UNSUPPORTED_FORMAT',
      said,
      'FILE_UNREADABLE',
      'IMAGE_UNSUPPORTED_FORMAT',
    ]);
    const report = reportTask(run);
    expect(report).toMatchObject({ questions: 4, errors: 3 });
    expect(report.figures.accuracy).toMatchObject({ value: 0.25, n: 4 });
    expect(report.failures[0].answer).toMatch(/^IMAGE_UNSUPPORTED_FORMAT: /);
    const lost = taskRun(
      { ...named('pope'), images: join(images, 'nowhere'), items: items.slice(1, 3) },
      null,
    );
    await expect(ask([lost])).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
      fix: expect.stringMatching(/--images/) as string,
    });
  });
});

describe('boxes', () => {
  const share = (run: TaskRun): number => reportTask(run).figures['IoU >= 0.5'].value;
  /** Pictures that are padded by a fifth of their longer side or more. */
  const padded = () =>
    named('refcoco').items.filter(({ size, truth }) => {
      const { width, height } = size ?? { width: 1, height: 1 };
      return (
        truth.kind === 'boxes' &&
        truth.boxes.length > 0 &&
        Math.min(width, height) / Math.max(width, height) < 0.8
      );
    });

  test('of the padded square, constrained and free: in pixels of the source', async () => {
    const items = padded();
    expect(items.length).toBeGreaterThanOrEqual(16);
    const constrained = taskRun({ ...named('refcoco'), items }, null);
    const prompt =
      'Please provide the bounding box coordinate of the region this sentence describes: {phrase}';
    const free = taskRun({ ...named('refcoco'), items, prompt }, null);
    await ask([constrained, free]);
    const least = floorOf('refcoco', 'IoU >= 0.5', items.length);
    expect(share(constrained)).toBeGreaterThanOrEqual(least);
    expect(share(free)).toBeGreaterThanOrEqual(least);
    // The text is a box of the padded square, as LLaVA's scorers read it.
    const line = constrained.lines.find((one) => one?.metadata.boxes?.length);
    expect(line?.text).toMatch(/^\[[01]\.\d{3}(, [01]\.\d{3}){3}\]/);
  });

  test('what the model says is not there has no box', async () => {
    const items = named('refcoco').items.filter(
      ({ truth }) => truth.kind === 'boxes' && truth.boxes.length === 0,
    );
    const run = taskRun({ ...named('refcoco'), items }, null);
    await ask([run]);
    expect(reportTask(run).figures['not there'].value).toBeGreaterThanOrEqual(
      floorOf('refcoco', 'not there', items.length),
    );
  });

  test("InternVL's thousandths are of the picture itself, not of a square", async () => {
    // The whole of a 400 x 100 picture, stretched to the model's square.
    const geometry: Geometry = {
      ...{ sourceWidth: 400, sourceHeight: 100, canvasWidth: 400, canvasHeight: 100, offsetX: 0, offsetY: 0 },
      ...{ resizedWidth: 448, resizedHeight: 448, cropX: 0, cropY: 0, width: 448, height: 448 },
    };
    const grounded = { boxes: [{ x1: 100, y1: 20, x2: 200, y2: 80, score: 1, text: 'it' }] };
    const said = {
      text: async () => 'It is at <box>[[250, 200, 500, 800]]</box>.',
      timings: { total: 1 },
      usage: { completionTokens: 9 },
    };
    const scene = {
      ...{ geometry, timings: { preprocess: 0, vision: 0, prefix: 0 } },
      ground: async () => grounded,
      ask: () => said,
      dispose: () => undefined,
    };
    const scripted = { look: async () => scene, info: { config: { tasks: { boxes: 'thousandths' } } } };
    const [first] = named('refcoco').items;
    const items = [{ ...first, truth: { kind: 'boxes', boxes: [[100, 20, 200, 80]] } as const }];
    const runs = [null, 'Where is {phrase}?'].map((prompt) =>
      taskRun({ ...named('refcoco'), items, prompt }, null),
    );
    await ask(runs, {}, scripted as unknown as Model);
    for (const run of runs) {
      expect(run.lines[0]?.metadata.boxes).toEqual([[100, 20, 200, 80]]);
      expect(share(run)).toBe(1);
    }
    expect(runs[0].lines[0]?.text).toBe('<box>[[250, 200, 500, 800]]</box>');
  });
});

test('an abort keeps the answers, and only the others are asked again', async () => {
  const task = { ...named('vqa'), items: named('vqa').items.slice(0, 12) };
  await withFiles({}, async (out) => {
    const path = join(out, 'answers.jsonl');
    const stopped = new AbortController();
    const first = taskRun(task, await AnswersFile.open(path));
    const aborted = ask([first], {
      signal: stopped.signal,
      onAnswer: (done) => done === 5 && stopped.abort(),
    });
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    await first.file?.close();
    const before = await readFile(path, 'utf8');
    expect(before.trim().split('\n')).toHaveLength(5);
    const asked: number[] = [];
    const second = taskRun(task, await AnswersFile.open(path));
    await ask([second], { onAnswer: (done) => asked.push(done) });
    expect(asked).toEqual([6, 7, 8, 9, 10, 11, 12]);
    await second.file?.close(second.lines.filter((line) => line !== null));
    expect((await readFile(path, 'utf8')).startsWith(before.split('\n')[0])).toBe(true);
  });
});
