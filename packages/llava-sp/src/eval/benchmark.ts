import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { itemOf, metricOf, type RowOptions } from './formats/rows.ts';
import { wholeItems } from './formats/wholes.ts';
import { invalid, object, optionalText, readQuestions, readText, rowsOf, textOf, type Row } from './read.ts';
import { METRICS, type Item, type Metric, type Task } from './types.ts';

const MANIFEST = 'benchmark.json';

/** What flags say of all tasks; `null`: what the files say. */
export interface TaskOptions {
  readonly metric: Metric | null;
  readonly images: string | null;
  readonly annotations: string | null;
  readonly suffix: string | null;
  readonly prompt: string | null;
  readonly box: 'xywh' | 'xyxy' | null;
  /** Only the questions of this split. */
  readonly split: string | null;
}

export interface Benchmark {
  readonly name: string;
  readonly tasks: readonly Task[];
}

/**
 * The tasks of folders with a `benchmark.json`, such files, or files of questions, each of which is a task.
 *
 * @throws {LoadError} `BENCHMARK_INVALID`, naming file and line; `FILE_UNREADABLE`.
 */
export async function openBenchmark(paths: readonly string[], options: TaskOptions): Promise<Benchmark> {
  const parts: Benchmark[] = [];
  for (const path of paths) parts.push(await openPath(resolve(path), options));
  const tasks = parts.flatMap((part) => part.tasks);
  const twice = tasks.find(({ name }, i) => tasks.findIndex((task) => task.name === name) !== i);
  if (twice) throw invalid(paths.join(', '), `two tasks are called ${twice.name}`);
  return { name: parts.map(({ name }) => name).join(', '), tasks };
}

async function openPath(path: string, options: TaskOptions): Promise<Benchmark> {
  const isFolder = (await stat(path).catch(() => null))?.isDirectory() ?? false;
  const file = isFolder ? join(path, MANIFEST) : path;
  if (basename(file) === MANIFEST) return openManifest(file, options);
  const name = basename(file).replace(/\.\w+$/, '');
  return { name, tasks: [await openTask(name, [file], options, dirname(file))] };
}

async function openManifest(file: string, options: TaskOptions): Promise<Benchmark> {
  const found = await readQuestions(file);
  if (!('whole' in found)) throw invalid(file, 'it is no JSON object');
  const { whole } = found;
  const folder = dirname(file);
  const tasks: Task[] = [];
  for (const entry of rowsOf(whole, 'tasks')) {
    const { questions } = entry.value;
    const files = (Array.isArray(questions) ? questions : [questions]).map((name) => {
      if (typeof name === 'string') return join(folder, name);
      throw invalid(entry.where, '"questions" is neither a file nor a list of files');
    });
    const annotations = optionalText(entry, 'annotations');
    const own: TaskOptions = {
      metric: options.metric ?? metricNamed(entry),
      images: options.images,
      annotations: options.annotations ?? (annotations === null ? null : join(folder, annotations)),
      suffix: options.suffix ?? optionalText(entry, 'suffix'),
      prompt: options.prompt ?? optionalText(entry, 'prompt'),
      box: options.box,
      split: options.split,
    };
    const images = optionalText(entry, 'images') ?? optionalText(whole, 'images') ?? '.';
    tasks.push(await openTask(taskName(entry), files, own, join(folder, images)));
  }
  if (tasks.length === 0) throw invalid(file, 'it has no tasks');
  return { name: optionalText(whole, 'name') ?? basename(folder), tasks };
}

/** It becomes a folder's name. */
function taskName(entry: Row): string {
  const name = textOf(entry, 'name');
  if (/^[\w+][\w+. -]*$/.test(name)) return name;
  throw invalid(
    entry.where,
    `"name" is ${JSON.stringify(name)}; letters, digits, +, -, _ and dots make a name`,
  );
}

function metricNamed(entry: Row): Metric | null {
  const name = optionalText(entry, 'metric');
  const metric = METRICS.find((known) => known === name) ?? null;
  if (name === null || metric !== null) return metric;
  throw invalid(entry.where, `"metric" is ${JSON.stringify(name)}, none of ${METRICS.join(', ')}`);
}

async function openTask(
  name: string,
  files: readonly string[],
  options: TaskOptions,
  folder: string,
): Promise<Task> {
  const annotations = options.annotations === null ? null : await annotationsOf(options.annotations);
  const parts: { metric: Metric; items: Item[] }[] = [];
  for (const file of files) parts.push(await openFile(file, options, annotations));
  const metric = options.metric ?? parts[0].metric;
  const odd = parts.findIndex((part) => part.metric !== metric);
  if (odd >= 0) throw invalid(files[odd], `its questions are of ${parts[odd].metric}, not of ${metric}`);
  const all = parts.flatMap(({ items }) => items);
  const items = options.split === null ? all : all.filter(({ split }) => split === options.split);
  if (items.length === 0) {
    const none = options.split === null ? 'questions' : `questions of the split ${options.split}`;
    throw invalid(files.join(', '), `it has no ${none}`);
  }
  const { suffix } = options;
  const prompt = metric === 'refcoco' ? options.prompt : null;
  if (prompt !== null && !prompt.includes('{phrase}')) throw invalid(name, 'its prompt lacks {phrase}');
  const hash = createHash('sha256');
  for (const file of [...files, ...(options.annotations === null ? [] : [options.annotations])]) {
    hash.update(await readText(file));
  }
  return {
    name,
    metric,
    items,
    images: options.images ?? folder,
    suffix,
    prompt,
    sha256: hash.digest('hex'),
  };
}

async function annotationsOf(file: string): Promise<Row> {
  const found = await readQuestions(file);
  return 'whole' in found
    ? found.whole
    : { where: file, value: { annotations: found.rows.map(({ value }) => value) } };
}

async function openFile(
  file: string,
  options: TaskOptions,
  annotations: Row | null,
): Promise<{ metric: Metric; items: Item[] }> {
  const found = await readQuestions(file);
  if ('whole' in found)
    return wholeItems({ where: file, value: object(found.whole.value, file) }, annotations);
  const { rows } = found;
  if (rows.length === 0) throw invalid(file, 'it has no questions');
  const metric = options.metric ?? metricOf(rows[0]);
  const rowOptions: RowOptions = {
    box: options.box,
    category: metric === 'pope' ? popeCategory(file) : null,
  };
  return { metric, items: rows.map((row, i) => itemOf(row, i, metric, rowOptions)) };
}

/** As `random` of `coco_pope_random.json`. */
function popeCategory(file: string): string | null {
  return /_([^_.]+)\.\w+$/.exec(basename(file))?.[1] ?? null;
}
