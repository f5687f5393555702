/**
 * What the demo model must do on a few questions, by its figures on thousands: packages/demo-model/figures.json, the report that
 * `llava-sp eval` wrote of it. Fewer right answers are allowed as far as chance makes them: three standard deviations.
 */
import { readFileSync } from 'node:fs';
import type { Report, TaskReport } from '../../packages/llava-sp/src/eval/report.ts';
import type { Group } from '../../packages/llava-sp/src/eval/score.ts';
import type { Figure } from '../../packages/llava-sp/src/eval/types.ts';

/** How likely less than three standard deviations below the mean is. */
const CHANCE = 0.00135;

export const figures = JSON.parse(
  readFileSync(new URL('../../packages/demo-model/figures.json', import.meta.url), 'utf8'),
) as Report;

/** @throws where the figures have no such task. */
function knownTask(name: string): TaskReport {
  const found = figures.tasks.find((task) => task.name === name);
  if (!found) throw new Error(`figures.json has no ${name}`);
  return found;
}

/** The least share of `n` answers that must be right, by a task's figure over all of its questions. */
export function floorOf(task: string, figure: string, n: number): number {
  const known = knownTask(task).figures[figure];
  return leastRight(Array.from({ length: n }, () => chanceOf(known))) / n;
}

/** Of one category: the answers that are right, those that there are, and how many must be right. */
export interface Expected {
  readonly right: number;
  readonly n: number;
  readonly least: number;
}

/** A category's answers to a few questions beside the figures of the same styles of drawing, of which each set has its own mix. */
export function expectedOf({ name, groups }: TaskReport, category: string, figure: string): Expected {
  const known = knownTask(name).groups;
  const chances: number[] = [];
  let right = 0;
  for (const group of groups) {
    const here = group.figures[figure];
    if (group.category !== category || group.split === null || !here) continue;
    const there = known.find((other) => isSame(other, group))?.figures[figure];
    if (!there) throw new Error(`figures.json has no ${figure} of ${name}, ${group.split}, ${category}`);
    right += Math.round(here.value * here.n);
    chances.push(...Array.from({ length: here.n }, () => chanceOf(there)));
  }
  return { right, n: chances.length, least: leastRight(chances) };
}

function isSame(a: Group, b: Group): boolean {
  return a.split === b.split && a.category === b.category;
}

/** Of one answer to be right. Laplace's rule: that none was wrong does not say that none ever is. */
function chanceOf({ value, n }: Figure): number {
  return (value * n + 1) / (n + 2);
}

/** How many answers must be right, each by its own chance: fewer would be less likely than {@link CHANCE}. */
function leastRight(chances: readonly number[]): number {
  // By number of right answers.
  let likely = [1];
  for (const p of chances) {
    likely = [...likely, 0].map((stays, right) => stays * (1 - p) + (right > 0 ? likely[right - 1] * p : 0));
  }
  let [least, below] = [0, likely[0]];
  while (below < CHANCE) below += likely[++least];
  return least;
}
