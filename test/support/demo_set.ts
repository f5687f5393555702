/** The demo model's benchmark (or another that `recipe.benchmark` wrote), for tests and benches. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchmarkUrl } from '@llava-sp/demo-model';
import { openBenchmark } from '../../packages/llava-sp/src/eval/benchmark.ts';
import type { Item, Task } from '../../packages/llava-sp/src/eval/types.ts';

export const demoSet = fileURLToPath(benchmarkUrl);

/** A benchmark's tasks, as its files have them. */
export async function tasksOf(folder = demoSet): Promise<readonly Task[]> {
  const { tasks } = await openBenchmark([folder], {
    metric: null,
    images: null,
    annotations: null,
    suffix: null,
    prompt: null,
    box: null,
    split: null,
  });
  return tasks;
}

/** @throws where there is no task of that name. */
export function taskNamed(tasks: readonly Task[], name: string): Task {
  const found = tasks.find((task) => task.name === name);
  if (!found) throw new Error(`the benchmark has no ${name}`);
  return found;
}

/** One question in words, whatever its task. */
export interface DemoQuestion {
  /** Of its own, also where tasks number their questions alike. */
  readonly id: string;
  /** An absolute path. */
  readonly image: string;
  readonly prompt: string;
}

/** The questions of each picture, in the order of the pictures; tasks by turns, so that the first few are of several kinds. */
export async function questionsByPicture(folder = demoSet): Promise<DemoQuestion[][]> {
  const pictures = new Map<string, { readonly turn: number; readonly question: DemoQuestion }[]>();
  for (const task of await tasksOf(folder)) {
    const turns = new Map<string, number>();
    for (const [i, item] of task.items.entries()) {
      const image = join(task.images, item.image);
      const turn = turns.get(image) ?? 0;
      turns.set(image, turn + 1);
      const question = { id: `${task.name} ${i}`, image, prompt: promptOf(task, item) };
      pictures.set(image, [...(pictures.get(image) ?? []), { turn, question }]);
    }
  }
  return [...pictures.values()].map((asked) =>
    asked.toSorted((a, b) => a.turn - b.turn).map(({ question }) => question),
  );
}

function promptOf({ metric }: Task, { text }: Item): string {
  return metric === 'refcoco' ? `Where is ${text}?` : text;
}
