/**
 * Scores the demo model as it ships (its int4 weights, through this runtime), with the figures of the float32 PyTorch
 * model beside it. The scenes: by default the small set that is committed; a larger one is made by `python -m recipe.evaluate
 * --out eval-set --scenes 1000` in packages/demo-model as it was at commit 618f19f, whose recipe made this model.
 *
 *   npm run eval:demo -- [--set DIR] [--device NAME] [--threads N] [--out FILE] [--limit N]
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SingleBar } from 'cli-progress';
import { load, type Device } from '@llava-sp/node';
import { modelUrl } from '@llava-sp/demo-model';
import { groups, score, type EvalRow } from '../../packages/demo-model/eval.ts';

const home = fileURLToPath(new URL('../../packages/demo-model/', import.meta.url));

/** Per task: right answers and questions. */
export type Tally = Map<string, { right: number; asked: number }>;

interface EvalOptions {
  folder: string;
  device?: Device;
  threads?: number;
  limit?: number;
  onProgress?: (done: number, total: number) => void;
}

/** Asks every question of a set; the questions on one picture share its encoding. */
export async function evaluate(options: EvalOptions): Promise<Tally> {
  const { folder, device, threads, limit = Infinity, onProgress } = options;
  const lines = (await readFile(join(folder, 'questions.jsonl'), 'utf8')).trim().split('\n');
  const rows = lines.slice(0, limit).map((line) => JSON.parse(line) as EvalRow);
  const tally: Tally = new Map();
  const model = await load(modelUrl, { device, threads });
  try {
    for (const [i, row] of rows.entries()) {
      const answer = await model.ask(join(folder, row.image), row.prompt).text();
      const count = tally.get(row.task) ?? { right: 0, asked: 0 };
      count.asked++;
      if (score(row.task, answer, row)) count.right++;
      tally.set(row.task, count);
      onProgress?.(i + 1, rows.length);
    }
  } finally {
    await model.dispose();
  }
  return tally;
}

/** Share of right answers in percent over a group of tasks; NaN where nothing was asked. */
export function percent(tally: Tally, tasks: readonly string[]): number {
  const counts = tasks.map((task) => tally.get(task) ?? { right: 0, asked: 0 });
  const sum = (key: 'right' | 'asked') => counts.reduce((total, count) => total + count[key], 0);
  return (100 * sum('right')) / sum('asked');
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
  const bar = new SingleBar({
    format: 'asking [{bar}] {value}/{total} {eta_formatted} left',
    stream: process.stderr,
  });
  const start = performance.now();
  let total = 0;
  const tally = await evaluate({
    folder: resolve(values.set ?? join(home, 'testset')),
    device: values.device as Device | undefined,
    threads: values.threads === undefined ? undefined : Number(values.threads),
    limit: values.limit === undefined ? undefined : Number(values.limit),
    onProgress: (done, all) => {
      if (done === 1) bar.start(all, 0);
      bar.update(done);
      total = all;
    },
  });
  bar.stop();
  const seconds = (performance.now() - start) / 1000;
  const reference = await float32Figures();
  const rows = Object.entries(groups).map(([name, tasks]) => ({
    name,
    asked: tasks.reduce((sum, task) => sum + (tally.get(task)?.asked ?? 0), 0),
    int4: percent(tally, tasks),
    float32: reference.get(name) ?? NaN,
  }));
  console.log('task        questions   int4, this runtime   float32, PyTorch');
  for (const { name, asked, int4, float32 } of rows) {
    const cells = [name.padEnd(11), String(asked).padStart(9), int4.toFixed(1).padStart(20)];
    console.log(
      [...cells, Number.isNaN(float32) ? '-'.padStart(18) : float32.toFixed(1).padStart(18)].join(' '),
    );
  }
  console.log(`${total} questions in ${seconds.toFixed(0)} s`);
  const figures = rows.map(({ name, asked, int4 }) => ({ name, asked, int4 }));
  if (values.out) await writeFile(values.out, `${JSON.stringify(figures, null, 2)}\n`);
}

/** What the recipe measured, in percent by group; empty before it has. */
async function float32Figures(): Promise<Map<string, number>> {
  try {
    const json = JSON.parse(await readFile(join(home, 'float32.json'), 'utf8')) as {
      groups: Record<string, { accuracy: number }>;
    };
    return new Map(Object.entries(json.groups).map(([name, { accuracy }]) => [name, 100 * accuracy]));
  } catch {
    return new Map();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
