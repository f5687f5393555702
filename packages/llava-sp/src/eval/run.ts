import { access } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import {
  formatBox,
  formatThousandths,
  inputToSource,
  LoadError,
  parseBoxes,
  parseThousandths,
  sourceToInput,
  ArgumentError,
  UnsupportedError,
  type Box,
  type Geometry,
  type Model,
  type Scene,
} from '@llava-sp/node';
import { matchAnswers, type AnswerLine, type AnswersFile } from './answers.ts';
import { digestOf } from './sample.ts';
import { pointsOf } from './score.ts';
import type { Answered, Item, Task } from './types.ts';

/** A task with what is known of it. */
export interface TaskRun {
  readonly task: Task;
  /** Beside the task's questions; `null`: not asked yet. */
  readonly lines: (AnswerLine | null)[];
  /** `null`: nothing is kept. */
  readonly file: AnswersFile | null;
}

export interface RunOptions {
  /** What the answers say who gave them. */
  readonly modelId: string;
  readonly maxTokens?: number;
  readonly signal: AbortSignal;
  /** Hears of each answer; `points` in 0..1, `null` where there is no truth. */
  readonly onAnswer: (done: number, points: number | null, error: string | null) => void;
}

/** A task whose answers go to `file`, with those that are in it already. */
export function taskRun(task: Task, file: AnswersFile | null): TaskRun {
  return { task, lines: matchAnswers(task.items, file?.lines ?? []), file };
}

/**
 * Asks all that has not been asked, picture by picture: each is looked at once for the questions of all tasks. What is wrong with one
 * picture or question is its answer's error, and the run goes on.
 *
 * @throws {LoadError} `FILE_UNREADABLE` when no picture is there; what the device fails with; `AbortedError`.
 */
export async function askAll(model: Model, runs: readonly TaskRun[], options: RunOptions): Promise<void> {
  const pictures = await picturesOf(runs);
  let done = 0;
  for (const run of runs) for (const line of run.lines) if (line) done++;
  for (const [path, questions] of pictures) {
    const looked = await look(model, path, options.signal);
    const scene = 'scene' in looked ? looked.scene : null;
    let lookTime = scene ? scene.timings.preprocess + scene.timings.vision + scene.timings.prefix : undefined;
    try {
      for (const { run, index } of questions) {
        const { task } = run;
        const item = task.items[index];
        const result =
          'error' in looked
            ? { text: '', error: looked.error }
            : await ask(model, looked.scene, task, item, options);
        const { text, ...facts } = result;
        const line: AnswerLine = {
          question_id: item.id,
          prompt: item.text,
          text,
          answer_id: answerId(options.modelId, task, item),
          model_id: options.modelId,
          metadata: {
            image: item.image,
            ...facts,
            ...(lookTime === undefined ? {} : { look_ms: rounded(lookTime) }),
          },
        };
        lookTime = undefined;
        await run.file?.append(line);
        run.lines[index] = line;
        options.onAnswer(++done, pointsOf(answeredOf(item, line)), line.metadata.error ?? null);
      }
    } finally {
      scene?.dispose();
    }
  }
}

/** The same for the same question, whichever others are asked with it. */
function answerId(modelId: string, { name }: Task, { id, image, text }: Item): string {
  return digestOf(JSON.stringify([modelId, name, id, image, text])).slice(0, 22);
}

/** An answer of a run beside its question. */
export function answeredOf(item: Item, { text, metadata }: AnswerLine): Answered {
  return { item, text, boxes: metadata.boxes ?? [], error: metadata.error ?? null };
}

interface Place {
  readonly run: TaskRun;
  readonly index: number;
}

/** The questions that are left, by the picture they are about, in the order in which pictures come. */
async function picturesOf(runs: readonly TaskRun[]): Promise<Map<string, Place[]>> {
  const pictures = new Map<string, Place[]>();
  let anyThere = false;
  const paths = new Map<string, string>();
  for (const run of runs) {
    for (const [index, item] of run.task.items.entries()) {
      if (run.lines[index]) continue;
      const name = resolve(run.task.images, item.image);
      let path = paths.get(name);
      if (path === undefined) {
        path = await pathOf(run.task.images, item.image);
        paths.set(name, path);
        anyThere ||= await isThere(path);
      }
      pictures.set(path, [...(pictures.get(path) ?? []), { run, index }]);
    }
  }
  if (pictures.size > 0 && !anyThere) {
    const [first] = pictures.keys();
    throw new LoadError({
      code: 'FILE_UNREADABLE',
      message: `None of the ${pictures.size} pictures is there; the first would be ${first}.`,
      fix: 'Pass the folder that they are in: --images DIR.',
    });
  }
  return pictures;
}

/** Published files name pictures by the path on their makers' disk: the last part will do. */
export async function pathOf(folder: string, image: string): Promise<string> {
  const path = resolve(folder, image);
  const beside = resolve(folder, basename(image));
  return (await isThere(path)) || !(await isThere(beside)) ? path : beside;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function look(
  model: Model,
  path: string,
  signal: AbortSignal,
): Promise<{ scene: Scene } | { error: string }> {
  try {
    return { scene: await model.look(path, { signal }) };
  } catch (error) {
    return { error: problemOf(error) };
  }
}

/** What concerns this question alone; everything else ends the run. */
function problemOf(error: unknown): string {
  const isOwn =
    error instanceof ArgumentError || error instanceof LoadError || error instanceof UnsupportedError;
  if (isOwn) return `${error.code}: ${error.message}`;
  throw error;
}

type Result = Pick<AnswerLine, 'text'> & Pick<AnswerLine['metadata'], 'boxes' | 'error' | 'ms' | 'tokens'>;

async function ask(model: Model, scene: Scene, task: Task, item: Item, options: RunOptions): Promise<Result> {
  const { maxTokens, signal } = options;
  const start = performance.now();
  const { boxes: format } = model.info.config.tasks;
  try {
    if (task.metric === 'refcoco' && task.prompt === null) {
      // All that the model says, likely or not: what is not there it has to say itself.
      const found = await scene.ground(item.text, { threshold: 0, maxTokens, signal });
      const boxes = found.boxes.map(({ x1, y1, x2, y2 }) => pixels([x1, y1, x2, y2]));
      const inputs = boxes.map((box) => sourceToInput(box, scene.geometry));
      const text = inputs
        .map((box) => (format === 'unit' ? formatBox(box, 3) : formatThousandths(box)))
        .join(' ');
      return { text, boxes, ms: rounded(performance.now() - start) };
    }
    const answer =
      item.text === ''
        ? scene.caption({ length: item.category === 'detailed' ? 'detailed' : 'short', maxTokens, signal })
        : scene.ask(promptOf(task, item), { maxTokens, signal });
    const text = (await answer.text()).trim();
    const facts = { ms: rounded(answer.timings.total), tokens: answer.usage.completionTokens };
    if (task.metric !== 'refcoco') return { text, ...facts };
    return { text, boxes: boxesIn(text, format, scene.geometry), ...facts };
  } catch (error) {
    return { text: '', error: problemOf(error) };
  }
}

function promptOf({ prompt, suffix }: Task, { text }: Item): string {
  const question = prompt === null ? text : prompt.replace('{phrase}', () => text);
  return suffix === null ? question : `${question}\n${suffix}`;
}

/** The boxes in a free answer, in pixels of the source. */
function boxesIn(text: string, format: 'unit' | 'thousandths', geometry: Geometry): Box[] {
  const boxes = format === 'unit' ? parseBoxes(text) : parseThousandths(text);
  return boxes.map((box) => pixels(inputToSource(box, geometry)));
}

/** To a thousandth of a pixel: what the file says is what is scored. */
function pixels([x1, y1, x2, y2]: Box): Box {
  const short = (v: number): number => Math.round(v * 1000) / 1000;
  return [short(x1), short(y1), short(x2), short(y2)];
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
