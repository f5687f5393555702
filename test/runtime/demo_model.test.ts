/**
 * The model that ships, with its int8 and int4 weights, on scenes that training never saw: it must be as good as its figures on thousands of
 * them say, by tasks and categories, as far as the committed benchmark can tell.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { modelUrl } from '@llava-sp/demo-model';
import { load } from '@llava-sp/node';
import { describe, expect, test } from 'vitest';
import { reportTask, type TaskReport } from '../../packages/llava-sp/src/eval/report.ts';
import { askAll, taskRun } from '../../packages/llava-sp/src/eval/run.ts';
import { expectedOf, figures } from '../support/demo_figures.ts';
import { tasksOf } from '../support/demo_set.ts';
import { saysStar, WHERE } from '../support/star.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

/** What the answers of each task are judged by. */
const JUDGED: Readonly<Record<string, readonly string[]>> = {
  pope: ['accuracy'],
  refcoco: ['IoU >= 0.5', 'not there'],
  vqa: ['accuracy'],
  mmvp: ['pairs'],
  caption: ['exact'],
};

async function askBenchmark(): Promise<TaskReport[]> {
  const runs = (await tasksOf()).map((task) => taskRun(task, null));
  const model = await load(modelUrl, { device: 'wasm' });
  try {
    const { signal } = new AbortController();
    await askAll(model, runs, { modelId: 'demo', signal, onAnswer: () => undefined });
  } finally {
    await model.dispose();
  }
  return runs.map(reportTask);
}

describe('the demo model', () => {
  test('is as good as its figures on the committed benchmark', { timeout: 300_000 }, async () => {
    const tasks = await askBenchmark();
    expect(tasks.map(({ name }) => name)).toEqual(figures.tasks.map(({ name }) => name));
    for (const task of tasks) {
      expect(task.errors, task.name).toBe(0);
      const categories = new Set(task.groups.flatMap(({ category }) => category ?? []));
      const judged = [...categories].flatMap((category) =>
        JUDGED[task.metric].map((figure) => ({
          what: `${task.name}, ${category}, ${figure}`,
          ...expectedOf(task, category, figure),
        })),
      );
      expect(judged.filter(({ n }) => n > 0).length, task.name).toBeGreaterThanOrEqual(
        Math.max(1, categories.size),
      );
      for (const { what, right, n, least } of judged) {
        if (n === 0) continue;
        console.log(`${what}: ${right} of ${n} right, at least ${least}`);
        expect(right, what).toBeGreaterThanOrEqual(least);
      }
    }
  });

  test('finds the red star of the examples', async () => {
    const args = ['packages/llava-sp/dist/cli.js', 'ask', 'examples/images/scene.png', WHERE];
    const { stdout } = await run(process.execPath, args, { cwd: root });
    expect(saysStar(stdout), stdout).toBe(true);
  });

  test('sees a turned JPEG upright, and other formats and ratios', async () => {
    for (const [file, question] of [
      ['turned.jpg', 'How many objects are there?'],
      ['tall.png', 'Describe the image.'],
      ['wide.webp', 'Describe the image.'],
    ]) {
      const args = ['packages/llava-sp/dist/cli.js', 'ask', `examples/images/${file}`, question];
      const { stdout } = await run(process.execPath, args, { cwd: root });
      expect(stdout.trim(), file).not.toBe('');
    }
  });
});
