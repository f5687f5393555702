/**
 * What storing a model in fewer bits costs, part by part: each part alone in each format, the others in float32, then all of
 * them; scored on a set of questions beside the float32 model itself. The folder is one of floats (`recipe.export --bits 0`
 * in packages/demo-model). Answers are kept in the work folder: a run that was stopped goes on.
 *
 *   npm run bench:quant -- --model FOLDER [--set DIR] [--limit N] [--work DIR] [--out FILE] [--parts llm,vision,...]
 *                          [--formats q8-64,q4-32,q4-32-c,...] [--only all,...] [--calibrate N] [--tries N] [--device NAME]
 *                          [--threads N]
 *
 * `-c`: calibrated, by the last N questions of the set (default: 400), which are not asked then.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
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
import { groups, score, type EvalRow } from '../../packages/demo-model/eval.ts';

const home = fileURLToPath(new URL('../../packages/demo-model/', import.meta.url));

/** A way to store the model; `null`: the folder of floats as it is. */
export interface Variant {
  readonly name: string;
  readonly quantisation: Quantisation | null;
  /** Whether codes are chosen by what products give. */
  readonly calibrated: boolean;
}

/** What a variant's folder is. */
interface Stored {
  /** Of the weights, in bytes. */
  readonly bytes: number;
  /** Relative error of the weights of the parts that are not float32. */
  readonly error: number;
}

/** A variant and its answers, in the order of the questions. */
export interface Scored extends Stored {
  readonly name: string;
  readonly answers: readonly string[];
  readonly right: readonly boolean[];
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
  /** The folder of questions. */
  readonly set: string;
  /** Where folders are made and answers are kept. */
  readonly work: string;
  readonly limit: number;
  /** Of the pictures to calibrate by: others than those that are asked about. */
  readonly calibration: readonly CalibrationQuestion[];
  readonly device?: Device;
  readonly threads?: number;
  readonly onProgress?: (variant: string, done: number, total: number) => void;
}

/** The first questions of a set. */
export async function readRows(set: string, limit: number): Promise<EvalRow[]> {
  const lines = (await readFile(join(set, 'questions.jsonl'), 'utf8')).trim().split('\n');
  return lines.slice(0, limit).map((line) => JSON.parse(line) as EvalRow);
}

/** Stores the model in each way and asks all questions; what the work folder has already is not asked again. */
export async function runVariants(variants: readonly Variant[], options: RunOptions): Promise<Scored[]> {
  const rows = await readRows(options.set, options.limit);
  const results: Scored[] = [];
  await mkdir(options.work, { recursive: true });
  for (const variant of variants) {
    const { bytes, error, answers } = await answersOf(variant, rows, options);
    const right = rows.map((row, i) => score(row.task, answers[i], row));
    results.push({ name: variant.name, bytes, error, answers, right });
  }
  return results;
}

async function answersOf(
  variant: Variant,
  rows: readonly EvalRow[],
  options: RunOptions,
): Promise<Stored & { answers: string[] }> {
  const { work, model, set, device, threads } = options;
  const index = await readFile(join(model, 'config.json'));
  const key = createHash('sha256')
    .update(
      JSON.stringify([
        variant,
        resolve(model),
        resolve(set),
        rows.length,
        device,
        options.calibration.length,
      ]),
    )
    .update(index)
    .digest('hex')
    .slice(0, 16);
  const kept = join(work, `${variant.name.replace(' ', '-')}-${key}.json`);
  const known = await readFile(kept, 'utf8').catch(() => null);
  if (known !== null) return JSON.parse(known) as Stored & { answers: string[] };

  const folder = join(work, 'model');
  await rm(folder, { recursive: true, force: true });
  const stored = await store(variant, folder, options);
  const answers: string[] = [];
  const loaded = await load(variant.quantisation ? folder : model, { device, threads });
  try {
    for (const row of rows) {
      answers.push(await loaded.ask(join(set, row.image), row.prompt).text());
      options.onProgress?.(variant.name, answers.length, rows.length);
    }
  } finally {
    await loaded.dispose();
    await rm(folder, { recursive: true, force: true });
  }
  await writeFile(`${kept}.part`, JSON.stringify({ ...stored, answers }));
  await rename(`${kept}.part`, kept);
  return { ...stored, answers };
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
  /** Right answers, in percent of all. */
  readonly right: number;
  /** Less than float32 is negative; with the standard error that the changed answers give. */
  readonly delta: number;
  readonly standardError: number;
  /** Answers that are not float32's word for word, in percent. */
  readonly changed: number;
  /** `delta` by group of tasks. */
  readonly groups: Readonly<Record<string, number>>;
}

/** Every variant beside the first, which is float32. */
export function deltas(rows: readonly EvalRow[], results: readonly Scored[]): Delta[] {
  const [base] = results;
  const percent = (one: Scored, chosen: readonly number[]): number =>
    (100 * chosen.filter((i) => one.right[i]).length) / chosen.length;
  const all = rows.map((_, i) => i);
  const byGroup = Object.entries(groups)
    .map(([name, tasks]) => [name, all.filter((i) => tasks.includes(rows[i].task))] as const)
    .filter(([, chosen]) => chosen.length > 0);
  return results.map((one) => {
    const flips = all.filter((i) => one.right[i] !== base.right[i]).length;
    return {
      name: one.name,
      bytes: one.bytes,
      error: one.error,
      right: percent(one, all),
      delta: percent(one, all) - percent(base, all),
      standardError: (100 * Math.sqrt(flips)) / rows.length,
      changed: (100 * all.filter((i) => one.answers[i] !== base.answers[i]).length) / rows.length,
      groups: Object.fromEntries(
        byGroup.map(([name, chosen]) => [name, percent(one, chosen) - percent(base, chosen)]),
      ),
    };
  });
}

/** The table in Markdown: float32 in percent, everything else in points beside it. */
export function markdown(lines: readonly Delta[], base: Readonly<Record<string, number>>): string {
  const names = Object.keys(base);
  const signed = (value: number): string => `${value > 0 ? '+' : ''}${value.toFixed(1)}`;
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    row(['stored', 'MB', 'error', 'all', '±', 'changed', ...names]),
    row(['---', ...Array.from({ length: 5 + names.length }, () => '---:')]),
    ...lines.map(({ name, bytes, error, right, delta, standardError, changed, groups: own }, i) =>
      row([
        name,
        (bytes / 1e6).toFixed(2),
        error === 0 ? '' : error.toExponential(1),
        i === 0 ? `${right.toFixed(1)} %` : signed(delta),
        i === 0 ? '' : standardError.toFixed(1),
        i === 0 ? '' : `${changed.toFixed(1)} %`,
        ...names.map((group) => (i === 0 ? `${base[group].toFixed(1)} %` : signed(own[group]))),
      ]),
    ),
  ].join('\n');
}

/** Right answers of each group, in percent. */
export function groupPercents(rows: readonly EvalRow[], { right }: Scored): Record<string, number> {
  const found = Object.entries(groups).map(([name, tasks]) => {
    const chosen = rows.flatMap(({ task }, i) => (tasks.includes(task) ? [right[i]] : []));
    return [name, (100 * chosen.filter(Boolean).length) / chosen.length] as const;
  });
  return Object.fromEntries(found.filter(([, share]) => !Number.isNaN(share)));
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
      calibrate: { type: 'string' },
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
    ({ name }) => name === 'float32' || !only || only.some((start) => name.startsWith(start)),
  );
  const bar = new SingleBar({
    format: '{variant} [{bar}] {value}/{total} {eta_formatted} left',
    stream: process.stderr,
  });
  const set = resolve(values.set ?? join(home, 'testset'));
  const all = await readRows(set, Infinity);
  const seen = Number(values.calibrate ?? 400);
  const limit = Math.min(Number(values.limit ?? Infinity), all.length - seen);
  const rows = all.slice(0, limit);
  bar.start(variants.length * rows.length, 0, { variant: '' });
  const results = await runVariants(variants, {
    model: values.model,
    set,
    limit,
    calibration: all
      .slice(all.length - seen)
      .map(({ image, prompt }) => ({ image: join(set, image), text: prompt })),
    work: resolve(values.work ?? join(tmpdir(), 'llava-sp-quant')),
    device: values.device as Device | undefined,
    threads: values.threads === undefined ? undefined : Number(values.threads),
    onProgress: (variant, done, total) => {
      const before = variants.findIndex(({ name }) => name === variant);
      bar.update(before * total + done, { variant });
    },
  });
  bar.stop();
  const lines = deltas(rows, results);
  console.log(markdown(lines, groupPercents(rows, results[0])));
  console.log(`\n${rows.length} questions`);
  if (values.out)
    await writeFile(values.out, `${JSON.stringify({ questions: rows.length, lines }, null, 2)}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
