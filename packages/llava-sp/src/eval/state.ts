/** What the answers in an output folder belong to: another run must not go on with them. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ArgumentError, LoadError } from '@llava-sp/node';
import { writing } from './answers.ts';
import type { Task } from './types.ts';

const FILE = 'run.json';

export interface RunState {
  readonly model: string;
  /** Of the folder's files; `null` of a model that was not loaded from this disk: `model` says which it is. */
  readonly modelSha256: string | null;
  readonly device: string;
  readonly precision: string;
  readonly maxTokens: number | null;
  readonly tasks: Readonly<Record<string, TaskState>>;
}

type TaskState = Pick<Task, 'metric' | 'sha256' | 'suffix' | 'prompt'>;

/** Names of what differs, as messages have them. */
const NAMES: Readonly<Record<string, string>> = {
  model: 'model',
  modelSha256: 'weights or files of the model',
  device: 'device',
  precision: 'precision',
  maxTokens: 'limit of tokens',
  metric: 'metric',
  sha256: 'questions',
  suffix: 'suffix',
  prompt: 'prompt',
};

export function tasksState(tasks: readonly Task[]): RunState['tasks'] {
  return Object.fromEntries(
    tasks.map(({ name, metric, sha256, suffix, prompt }) => [name, { metric, sha256, suffix, prompt }]),
  );
}

/**
 * Marks a folder as this run's.
 *
 * @throws {ArgumentError} `OUTPUT_NOT_EMPTY`, naming what differs; {@link LoadError} `OUTPUT_FAILED`, `BENCHMARK_INVALID`.
 */
export async function claim(folder: string, state: RunState): Promise<void> {
  const path = join(folder, FILE);
  const before = await readState(path);
  if (before) refuseOther(folder, before, state);
  const tasks = { ...before?.tasks, ...state.tasks };
  await writing(path, async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(path, `${JSON.stringify({ ...state, tasks }, null, 2)}\n`);
  });
}

async function readState(path: string): Promise<RunState | null> {
  const text = await readFile(path, 'utf8').catch(() => null);
  if (text === null) return null;
  try {
    return JSON.parse(text) as RunState;
  } catch (cause) {
    throw new LoadError({
      code: 'BENCHMARK_INVALID',
      message: `${path} is damaged: it does not say what the answers beside it are of.`,
      fix: 'Choose another folder with --out.',
      cause,
    });
  }
}

function refuseOther(folder: string, before: RunState, state: RunState): void {
  const { tasks: was, ...run } = before;
  const { tasks: is, ...now } = state;
  const differs = (name: string, a: unknown, b: unknown, where: string): void => {
    if (a === b) return;
    const shown = name.endsWith('256') ? '' : `: ${String(a)}, not ${String(b)}`;
    throw new ArgumentError({
      code: 'OUTPUT_NOT_EMPTY',
      message: `${folder} has answers of another ${NAMES[name] ?? name}${where}${shown}.`,
      fix: 'Choose another folder with --out, or go on with what made them.',
    });
  };
  for (const key of Object.keys(now) as (keyof typeof now)[]) differs(key, run[key], now[key], '');
  for (const [name, task] of Object.entries(is)) {
    if (!Object.hasOwn(was, name)) continue;
    for (const key of Object.keys(task) as (keyof TaskState)[]) {
      differs(key, was[name][key], task[key], ` of the task ${name}`);
    }
  }
}

/** SHA-256 over the names and contents of a folder's files, as a model's identity. */
export async function folderSha256(folder: string): Promise<string> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
  const all = createHash('sha256');
  for (const name of names.sort()) {
    const hash = createHash('sha256');
    for await (const piece of createReadStream(join(folder, name))) hash.update(piece as Buffer);
    all.update(`${name} ${hash.digest('hex')}\n`);
  }
  return all.digest('hex');
}
