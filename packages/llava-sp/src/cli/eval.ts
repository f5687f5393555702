import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, platform, arch, release } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchmarkUrl } from '@llava-sp/demo-model';
import { AbortedError, isRemote, type Model } from '@llava-sp/node';
import type { Flags } from '../cli.ts';
import { AnswersFile, writing } from '../eval/answers.ts';
import { openBenchmark, type Benchmark } from '../eval/benchmark.ts';
import { compare, readReports } from '../eval/compare.ts';
import { failuresPage } from '../eval/failures.ts';
import { reportTask, toMarkdown, type Machine, type Report, type ReportModel } from '../eval/report.ts';
import { askAll, taskRun, type TaskRun } from '../eval/run.ts';
import { sampleOf } from '../eval/sample.ts';
import { runOfFile, type Frame } from '../eval/score_file.ts';
import { claim, folderSha256, tasksState, type RunState } from '../eval/state.ts';
import { METRICS, type Task } from '../eval/types.ts';
import { interruptSignal, loadFor, nameOf } from './model.ts';
import { openBar } from './terminal.ts';
import { EXIT, numberOption, UsageError } from './usage.ts';
import { version } from './version.ts';

/** `llava-sp eval [FOLDER | FILE...]`: a model's figures on a benchmark, the demo model's own by default. */
export async function runEval(args: readonly string[], flags: Flags): Promise<number> {
  if (flags.compare) {
    if (args.length < 2) throw new UsageError('eval --compare wants two reports or more');
    console.log(compare(await readReports(args)));
    return EXIT.ok;
  }
  if (flags.temperature !== undefined) throw new UsageError('eval is greedy: it takes no --temperature');
  const benchmark = await benchmarkOf(args, flags);
  return flags.answers === undefined
    ? evaluate(benchmark, flags)
    : scoreFile(benchmark, flags.answers, flags);
}

async function benchmarkOf(args: readonly string[], flags: Flags): Promise<Benchmark> {
  const paths = args.length > 0 ? args : [fileURLToPath(benchmarkUrl)];
  const benchmark = await openBenchmark(paths, {
    metric: oneOf('metric', flags.metric, METRICS),
    images: flags.images ?? null,
    annotations: flags.annotations ?? null,
    suffix: flags.suffix ?? null,
    prompt: promptOf(flags.prompt),
    box: oneOf('box', flags.box, ['xywh', 'xyxy']),
    split: flags.split ?? null,
  });
  const limit = limitOf(flags);
  if (limit === null) return benchmark;
  const sampled = (task: Task): Task => ({ ...task, items: sampleOf(task.items, limit, seedOf(flags)) });
  return { ...benchmark, tasks: benchmark.tasks.map(sampled) };
}

/** Asks a model, from where an earlier run of the same was ended. */
async function evaluate(benchmark: Benchmark, flags: Flags): Promise<number> {
  const untold = benchmark.tasks.find(({ metric }) => metric === 'none');
  if (untold && flags.out === undefined) {
    throw new UsageError(`${untold.name} has no truth to score by: --out DIR keeps the answers`);
  }
  const start = performance.now();
  const maxTokens = numberOption('max-tokens', flags['max-tokens']);
  const signal = interruptSignal();
  const model = await loadFor(flags, signal);
  const runs: TaskRun[] = [];
  let whole = false;
  let described: ReportModel;
  try {
    described = await describe(model, flags);
    if (flags.out !== undefined) {
      const state = stateOf(described, model, benchmark, maxTokens, flags);
      await claim(flags.out, state);
    }
    for (const task of benchmark.tasks) {
      const file = flags.out === undefined ? null : await AnswersFile.open(answersPath(flags.out, task));
      runs.push(taskRun(task, file));
    }
    await askWatched(model, runs, described.name, { maxTokens, signal }, flags);
    whole = true;
  } catch (error) {
    if (error instanceof AbortedError) sayKept(runs, flags);
    throw error;
  } finally {
    for (const { file, lines } of runs)
      await file?.close(whole ? lines.filter((line) => line !== null) : undefined);
    await model.dispose();
  }
  const machine = await machineOf(model, flags);
  return publish(benchmark, runs, described, machine, (performance.now() - start) / 1000, flags);
}

/** Scores answers that are in a file already. */
async function scoreFile(benchmark: Benchmark, path: string, flags: Flags): Promise<number> {
  if (benchmark.tasks.length !== 1) {
    throw new UsageError(`--answers is of one file of questions, not of ${benchmark.tasks.length} tasks`);
  }
  const run = await runOfFile(
    benchmark.tasks[0],
    path,
    oneOf<Frame>('frame', flags.frame, ['padded', 'picture']),
  );
  const model: ReportModel = {
    name: run.lines[0]?.model_id ?? 'unknown',
    architecture: null,
    location: null,
    sha256: null,
    weights: null,
    quantisation: null,
  };
  return publish(benchmark, [run], model, await machineOf(null, flags), 0, flags);
}

async function askWatched(
  model: Model,
  runs: readonly TaskRun[],
  modelId: string,
  options: { readonly maxTokens: number | undefined; readonly signal: AbortSignal },
  flags: Flags,
): Promise<void> {
  const total = runs.reduce((sum, { task }) => sum + task.items.length, 0);
  const format = 'asking [{bar}] {value}/{total} {score} {eta_formatted} left';
  const bar = openBar(flags, format, total, { score: '' });
  let [points, scored] = [0, 0];
  try {
    await askAll(model, runs, {
      modelId,
      ...options,
      onAnswer(done, earned, error) {
        if (earned !== null) {
          points += earned;
          scored++;
        }
        const score = scored > 0 ? `${((100 * points) / scored).toFixed(1)} % right` : '';
        bar?.update(done, { score });
        if (error !== null && !flags.quiet && bar === null) console.error(error);
      },
    });
  } finally {
    bar?.stop();
  }
}

function sayKept(runs: readonly TaskRun[], flags: Flags): void {
  const done = runs.flatMap(({ lines }) => lines).filter((line) => line !== null).length;
  if (flags.out !== undefined)
    console.error(`${done} answers are kept in ${flags.out}; the same command goes on.`);
}

function answersPath(out: string, { name }: Task): string {
  return join(out, name, 'answers.jsonl');
}

async function describe({ info }: Model, flags: Flags): Promise<ReportModel> {
  const { quantization } = info.config;
  return {
    name: nameOf(flags.model),
    architecture: info.name,
    location: info.location,
    sha256: isRemote(flags.model) ? null : await folderSha256(info.location),
    weights: info.weights,
    quantisation: quantization ? `${quantization.bits} bits in groups of ${quantization.group}` : null,
  };
}

function stateOf(
  { name, location, sha256 }: ReportModel,
  { info }: Model,
  { tasks }: Benchmark,
  maxTokens: number | undefined,
  flags: Flags,
): RunState {
  return {
    model: sha256 === null ? (location ?? name) : name,
    modelSha256: sha256,
    device: info.backend.name,
    precision: flags.precision ?? 'auto',
    maxTokens: maxTokens ?? null,
    tasks: tasksState(tasks),
  };
}

async function machineOf(model: Model | null, flags: Flags): Promise<Machine> {
  const backend = model?.info.backend;
  return {
    llavaSp: await version(),
    node: process.versions.node,
    platform: `${platform()} ${release()} ${arch()}`,
    cpu: cpus().at(0)?.model.trim() ?? 'unknown',
    cores: cpus().length,
    device: backend?.name ?? null,
    precision: backend?.name === 'webgpu' ? (flags.precision ?? 'auto') : null,
    threads: backend && backend.name === 'wasm' ? backend.threads : null,
  };
}

/** Prints the report and writes it beside the answers. */
async function publish(
  { name }: Benchmark,
  runs: readonly TaskRun[],
  model: ReportModel,
  machine: Machine,
  seconds: number,
  flags: Flags,
): Promise<number> {
  const report: Report = {
    format: 'llava-sp-eval-1',
    benchmark: name,
    created: new Date().toISOString(),
    model,
    machine,
    limit: limitOf(flags),
    seed: seedOf(flags),
    seconds: Math.round(seconds * 10) / 10,
    tasks: runs.map(reportTask),
  };
  const json = JSON.stringify(report, null, 2);
  const markdown = toMarkdown(report);
  const { out } = flags;
  if (out !== undefined) {
    await writing(out, async () => {
      await mkdir(out, { recursive: true });
      await writeFile(join(out, 'report.json'), `${json}\n`);
      await writeFile(join(out, 'report.md'), markdown);
      const tasks = runs.map(({ task }) => task);
      await writeFile(join(out, 'failures.html'), await failuresPage(report, tasks, out));
    });
  }
  console.log(flags.json ? json : markdown.trimEnd());
  const errors = report.tasks.reduce((sum, task) => sum + task.errors, 0);
  if (errors > 0) console.error(`${errors} questions could not be asked; they count as wrong.`);
  return errors > 0 ? EXIT.failure : EXIT.ok;
}

function limitOf(flags: Flags): number | null {
  const limit = numberOption('limit', flags.limit) ?? null;
  if (limit === null || (Number.isInteger(limit) && limit > 0)) return limit;
  throw new UsageError(`--limit wants a whole number above 0, not ${limit}`);
}

function seedOf(flags: Flags): number {
  return numberOption('seed', flags.seed) ?? 0;
}

function promptOf(prompt: string | undefined): string | null {
  if (prompt === undefined || prompt.includes('{phrase}')) return prompt ?? null;
  throw new UsageError('--prompt wants a text with {phrase} in it');
}

function oneOf<T extends string>(name: string, value: string | undefined, allowed: readonly T[]): T | null {
  const found = allowed.find((one) => one === value) ?? null;
  if (value === undefined || found !== null) return found;
  throw new UsageError(`--${name} wants one of ${allowed.join(', ')}, not "${value}"`);
}
