/**
 * What storing a model in fewer bits costs, part by part: each part alone in each format, the others in float32, then all of
 * them; scored on a benchmark (as `llava-sp eval` reads it) beside the float32 model itself. The folder is one of floats, as
 * the recipe of packages/demo-model exports it. Answers are kept in the work folder: a run that was stopped goes on.
 *
 *   npm run bench:quant -- --model FOLDER [--set FOLDER] [--limit N] [--work DIR] [--out FILE] [--parts llm,vision,...]
 *                          [--formats q8-64,q4-32,q4-32-c,...] [--only all,...] [--calibrate PATH] [--images DIR]
 *                          [--tries N] [--folder NAME=FOLDER ...] [--device NAME] [--threads N]
 *
 * `-c`: calibrated by `--calibrate`, a folder of pictures or a question.jsonl; other pictures than those of the set.
 * `--limit`: questions of each task. `--only`: variants whose names begin so, float32 always. `--folder`: one that is stored
 * already, to be scored beside them.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SingleBar } from 'cli-progress';
import {
  convert,
  defaultQuantisation,
  parts,
  type CalibrationQuestion,
  type Part,
  type Quantisation,
} from '@llava-sp/convert';
import { load, type Device } from '@llava-sp/node';
import { readQuestions } from '../../packages/llava-sp/src/cli/convert.ts';
import { answeredOf, askAll, taskRun } from '../../packages/llava-sp/src/eval/run.ts';
import { sampleOf } from '../../packages/llava-sp/src/eval/sample.ts';
import { pointsOf } from '../../packages/llava-sp/src/eval/score.ts';
import { folderSha256 } from '../../packages/llava-sp/src/eval/state.ts';
import type { Task } from '../../packages/llava-sp/src/eval/types.ts';
import { demoSet, tasksOf } from '../support/demo_set.ts';

/** A way to store the model; `null`: the folder of floats as it is. */
export interface Variant {
  readonly name: string;
  readonly quantisation: Quantisation | null;
  /** Whether codes are chosen by what products give. */
  readonly calibrated: boolean;
  /** Where it is stored already. */
  readonly folder?: string;
}

/** What a variant's folder is. */
interface Stored {
  /** Of the weights, in bytes. */
  readonly bytes: number;
  /** Relative error of the weights of the parts that are not float32; 0 where only their bits are known. */
  readonly error: number;
}

/** An answer of a variant. */
interface Answer {
  /** The task, or the category of a task of several kinds of questions. */
  readonly group: string;
  readonly text: string;
  /** 0..1; `null` where an answer alone has no score. */
  readonly points: number | null;
}

/** A variant and its answers, in the order of the questions. */
export interface Scored extends Stored {
  readonly name: string;
  readonly answers: readonly Answer[];
}

const floats: Quantisation = {
  ...defaultQuantisation,
  ...(Object.fromEntries(parts.map((part) => [part, 'f32'])) as Record<Part, 'f32'>),
};

/** `q4-64` as the options of a conversion; `q4-64-c` is calibrated. */
function formatOf(text: string): { bits: 'q4' | 'q8'; group: 32 | 64 | 128; calibrated: boolean } {
  const [, bits, group, calibrated] = /^(q4|q8)-(32|64|128)(-c)?$/.exec(text) ?? [];
  if (bits === undefined) throw new Error(`a format is as q4-64, not ${text}`);
  return {
    bits: bits as 'q4' | 'q8',
    group: Number(group) as 32 | 64 | 128,
    calibrated: calibrated !== undefined,
  };
}

/** float32, each part alone in each format, all parts in each, and what `convert` takes by itself. */
export function variantsOf(names: readonly Part[], formats: readonly string[], tries: number): Variant[] {
  const one = (part: string, chosen: readonly Part[], format: string): Variant => {
    const { bits, group, calibrated } = formatOf(format);
    const stored = Object.fromEntries(chosen.map((name) => [name, bits]));
    return { name: `${part} ${format}`, quantisation: { ...floats, ...stored, group, tries }, calibrated };
  };
  return [
    { name: 'float32', quantisation: null, calibrated: false },
    ...names.flatMap((part) => formats.map((format) => one(part, [part], format))),
    ...formats.map((format) => one('all', parts, format)),
    ...[false, true].map((calibrated) => ({
      name: calibrated ? 'default-c' : 'default',
      quantisation: { ...defaultQuantisation, tries },
      calibrated,
    })),
  ];
}

interface RunOptions {
  /** The folder of floats. */
  readonly model: string;
  readonly tasks: readonly Task[];
  /** Where folders are made and answers are kept. */
  readonly work: string;
  /** Other pictures than those that are asked about. */
  readonly calibration: readonly CalibrationQuestion[];
  readonly device?: Device;
  readonly threads?: number;
  readonly onProgress?: (variant: string, done: number) => void;
}

/** The tasks of a benchmark, each with as many of its questions, drawn as `llava-sp eval` draws them. */
export async function readTasks(set: string, limit: number | null): Promise<Task[]> {
  const tasks = await tasksOf(set);
  if (limit === null) return [...tasks];
  return tasks.map((task) => ({ ...task, items: sampleOf(task.items, limit, 0) }));
}

/** Stores the model in each way and asks all questions; what the work folder has already is not asked again. */
export async function runVariants(variants: readonly Variant[], options: RunOptions): Promise<Scored[]> {
  const results: Scored[] = [];
  await mkdir(options.work, { recursive: true });
  for (const variant of variants)
    results.push({ name: variant.name, ...(await answersOf(variant, options)) });
  return results;
}

type Kept = Stored & { readonly answers: readonly Answer[] };

async function answersOf(variant: Variant, options: RunOptions): Promise<Kept> {
  const { work, model, tasks, device, threads, calibration } = options;
  const asked = tasks.map(({ name, sha256, items }) => [name, sha256, items.map(({ id }) => id)]);
  const key = createHash('sha256')
    .update(JSON.stringify([variant, asked, device, variant.calibrated ? calibration : null]))
    .update(await folderSha256(variant.folder ?? model))
    .digest('hex')
    .slice(0, 16);
  const kept = join(work, `${variant.name.replaceAll(/\W+/g, '-')}-${key}.json`);
  const known = await readFile(kept, 'utf8').catch(() => null);
  if (known !== null) return JSON.parse(known) as Kept;

  const folder = join(work, 'model');
  await rm(folder, { recursive: true, force: true });
  const stored = variant.folder
    ? { bytes: await weightBytes(variant.folder), error: 0 }
    : await store(variant, folder, options);
  const runs = tasks.map((task) => taskRun(task, null));
  const loaded = await load(variant.folder ?? (variant.quantisation ? folder : model), { device, threads });
  try {
    await askAll(loaded, runs, {
      modelId: variant.name,
      signal: new AbortController().signal,
      onAnswer: (done) => options.onProgress?.(variant.name, done),
    });
  } finally {
    await loaded.dispose();
    await rm(folder, { recursive: true, force: true });
  }
  const answers = runs.flatMap(({ task, lines }) =>
    lines.flatMap((line, i): Answer[] => {
      if (!line) return [];
      const item = task.items[i];
      const group = task.metric === 'vqa' ? (item.category ?? task.name) : task.name;
      return [{ group, text: line.text, points: pointsOf(answeredOf(item, line)) }];
    }),
  );
  const result = { ...stored, answers };
  await writeFile(`${kept}.part`, JSON.stringify(result));
  await rename(`${kept}.part`, kept);
  return result;
}

async function weightBytes(folder: string): Promise<number> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.safetensors'));
  const sizes = await Promise.all(files.map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function store(
  { quantisation, calibrated }: Variant,
  out: string,
  { model, threads, calibration: questions }: RunOptions,
): Promise<Stored> {
  const report = await convert({
    checkpoint: model,
    out,
    quantisation: quantisation ?? floats,
    calibration: calibrated ? { questions } : undefined,
    threads,
  });
  const exact = quantisation ? parts.filter((part) => quantisation[part] === 'f32') : parts;
  const chosen = parts.flatMap((part) => (exact.includes(part) ? [] : (report.parts[part] ?? [])));
  const weights = chosen.reduce((sum, part) => sum + part.weights, 0);
  // Of the parts' relative errors, by their weights.
  const error = Math.sqrt(chosen.reduce((sum, part) => sum + (part.weights / weights) * part.error ** 2, 0));
  return { bytes: report.total.bytes, error: weights === 0 ? 0 : error };
}

/** How a variant differs from float32, in points of percent. */
export interface Delta {
  readonly name: string;
  readonly bytes: number;
  readonly error: number;
  /** Points of all answers, in percent. */
  readonly right: number;
  /** Less than float32 is negative; with the standard error that the changed answers give. */
  readonly delta: number;
  readonly standardError: number;
  /** Answers that are not float32's word for word, in percent. */
  readonly changed: number;
  /** Of the first, in percent; of all others, `delta` of each group. */
  readonly groups: Readonly<Record<string, number>>;
}

/** Every variant beside the first, which is float32. */
export function deltas(results: readonly Scored[]): Delta[] {
  const [base] = results;
  const scored = base.answers.flatMap(({ points }, i) => (points === null ? [] : [i]));
  const percent = ({ answers }: Scored, chosen: readonly number[]): number =>
    (100 * chosen.reduce((sum, i) => sum + (answers[i].points ?? 0), 0)) / chosen.length;
  const byGroup = new Map<string, number[]>();
  for (const i of scored) {
    const { group } = base.answers[i];
    byGroup.set(group, [...(byGroup.get(group) ?? []), i]);
  }
  return results.map((one) => {
    const squares = scored.map((i) => ((one.answers[i].points ?? 0) - (base.answers[i].points ?? 0)) ** 2);
    const less = (chosen: readonly number[]): number => (one === base ? 0 : percent(base, chosen));
    return {
      name: one.name,
      bytes: one.bytes,
      error: one.error,
      right: percent(one, scored),
      delta: percent(one, scored) - percent(base, scored),
      standardError: (100 * Math.sqrt(squares.reduce((sum, square) => sum + square, 0))) / scored.length,
      changed:
        (100 * base.answers.filter(({ text }, i) => one.answers[i].text !== text).length) /
        base.answers.length,
      groups: Object.fromEntries(
        [...byGroup].map(([name, chosen]) => [name, percent(one, chosen) - less(chosen)]),
      ),
    };
  });
}

/** The table in Markdown: float32 in percent, everything else in points beside it. */
export function markdown(lines: readonly Delta[]): string {
  const names = Object.keys(lines[0].groups);
  const signed = (value: number): string => `${value > 0 ? '+' : ''}${value.toFixed(1)}`;
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    row(['stored', 'MB', 'error', 'all', '±', 'changed', ...names]),
    row(['---', ...Array.from({ length: 5 + names.length }, () => '---:')]),
    ...lines.map(({ name, bytes, error, right, delta, standardError, changed, groups }, i) => {
      const shown = (value: number): string => (i === 0 ? `${value.toFixed(1)} %` : signed(value));
      return row([
        name,
        (bytes / 1e6).toFixed(2),
        error === 0 ? '' : error.toExponential(1),
        shown(i === 0 ? right : delta),
        i === 0 ? '' : standardError.toFixed(1),
        i === 0 ? '' : `${changed.toFixed(1)} %`,
        ...names.map((group) => shown(groups[group])),
      ]);
    }),
  ].join('\n');
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string' },
      set: { type: 'string' },
      limit: { type: 'string' },
      work: { type: 'string' },
      out: { type: 'string' },
      parts: { type: 'string' },
      formats: { type: 'string' },
      only: { type: 'string' },
      tries: { type: 'string' },
      folder: { type: 'string', multiple: true },
      calibrate: { type: 'string' },
      images: { type: 'string' },
      device: { type: 'string' },
      threads: { type: 'string' },
    },
  });
  if (values.model === undefined) throw new Error('--model FOLDER, a model of floats, is wanted');
  const names = values.parts?.split(',') ?? parts;
  const formats = values.formats?.split(',') ?? ['q8-64', 'q4-32', 'q4-64', 'q4-128'];
  const only = values.only?.split(',');
  const tries = Number(values.tries ?? defaultQuantisation.tries);
  const variants = variantsOf(names as readonly Part[], formats, tries).filter(
    ({ name, calibrated }) =>
      name === 'float32' ||
      ((values.calibrate !== undefined || !calibrated) &&
        (!only || only.some((start) => name.startsWith(start)))),
  );
  for (const given of values.folder ?? []) {
    const [, name, folder] = /^([^=]+)=(.+)$/.exec(given) ?? [];
    if (folder === undefined) throw new Error(`a folder is given as NAME=FOLDER, not ${given}`);
    variants.push({ name, quantisation: null, calibrated: false, folder: resolve(folder) });
  }
  const bar = new SingleBar({
    format: '{variant} [{bar}] {value}/{total} {eta_formatted} left',
    stream: process.stderr,
  });
  const tasks = await readTasks(
    resolve(values.set ?? demoSet),
    values.limit === undefined ? null : Number(values.limit),
  );
  const questions = tasks.reduce((sum, { items }) => sum + items.length, 0);
  const calibration =
    values.calibrate === undefined ? [] : await readQuestions(values.calibrate, values.images);
  bar.start(variants.length * questions, 0, { variant: '' });
  const results = await runVariants(variants, {
    model: values.model,
    tasks,
    work: resolve(values.work ?? join(tmpdir(), 'llava-sp-quant')),
    calibration,
    device: values.device as Device | undefined,
    threads: values.threads === undefined ? undefined : Number(values.threads),
    onProgress: (variant, done) => {
      const before = variants.findIndex(({ name }) => name === variant);
      bar.update(before * questions + done, { variant });
    },
  });
  bar.stop();
  const lines = deltas(results);
  console.log(`${markdown(lines)}\n\n${questions} questions`);
  if (values.out) await writeFile(values.out, `${JSON.stringify({ questions, lines }, null, 2)}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
