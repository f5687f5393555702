/** The benchmark that `recipe/benchmark.py` made: whole, balanced, small. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Item, Truth } from '../../packages/llava-sp/src/eval/types.ts';
import { demoSet, taskNamed, tasksOf } from '../support/demo_set.ts';

const tasks = await tasksOf();

/** The truths of one kind, with their questions. */
function truths<K extends Truth['kind']>(name: string, kind: K): [Item, Extract<Truth, { kind: K }>][] {
  return taskNamed(tasks, name).items.flatMap((item) =>
    item.truth.kind === kind ? [[item, item.truth as Extract<Truth, { kind: K }>]] : [],
  );
}

describe("the demo model's benchmark", () => {
  test('has every picture that its questions name, and no other', async () => {
    const named = new Set(tasks.flatMap(({ items }) => items.map(({ image }) => image)));
    expect(await readdir(join(demoSet, 'images'))).toEqual([...named].sort());
  });

  test('stays below 600 kB', async () => {
    const files = await readdir(demoSet, { recursive: true, withFileTypes: true });
    const sizes = await Promise.all(
      files
        .filter((file) => file.isFile())
        .map(async (file) => (await stat(join(file.parentPath, file.name))).size),
    );
    expect(sizes.reduce((a, b) => a + b, 0)).toBeLessThan(600_000);
  });

  test('asks every task of the trained styles and of the one held out', () => {
    for (const { name, items } of tasks) {
      expect(new Set(items.map(({ split }) => split)), name).toEqual(new Set(['trained', 'held_out']));
    }
  });

  test('has no id twice, whichever files the questions are in', () => {
    const ids = tasks.flatMap(({ items }) => items.map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("has about as many yes as no in each of POPE's files", () => {
    const rows = truths('pope', 'yes_no');
    for (const category of ['random', 'popular', 'adversarial', 'similar', 'attribute']) {
      const own = rows.filter(([item]) => item.category === category);
      const yes = own.filter(([, truth]) => truth.yes).length;
      expect(own.length, category).toBeGreaterThan(30);
      expect(Math.abs(2 * yes - own.length), category).toBeLessThanOrEqual(0.15 * own.length);
    }
  });

  test('has boxes inside of their pictures, phrases of five kinds, and some of what is not there', () => {
    const rows = truths('refcoco', 'boxes');
    expect(new Set(rows.map(([item]) => item.category))).toEqual(
      new Set(['attribute', 'ordinal', 'relation', 'extreme', 'group', 'absent']),
    );
    for (const [item, { boxes }] of rows) {
      expect(boxes.length, item.text).toBe(item.category === 'absent' ? 0 : 1);
      for (const [x1, y1, x2, y2] of boxes) {
        expect(Math.min(x1, y1, x2 - x1 - 1, y2 - y1 - 1), item.text).toBeGreaterThanOrEqual(0);
        expect(x2, item.text).toBeLessThanOrEqual(item.size?.width ?? 0);
        expect(y2, item.text).toBeLessThanOrEqual(item.size?.height ?? 0);
      }
    }
  });

  test('has pairs of two pictures with one question and two answers', () => {
    const rows = truths('mmvp', 'pair');
    const pairs = [...new Set(rows.map(([, truth]) => truth.pair))];
    expect(pairs.length).toBeGreaterThan(3);
    expect(rows.length).toBe(2 * pairs.length);
    for (const pair of pairs) {
      const [[a, first], [b, second]] = rows.filter(([, truth]) => truth.pair === pair);
      expect(a.text).toBe(b.text);
      expect(a.image).not.toBe(b.image);
      expect(first.answer).not.toBe(second.answer);
    }
  });
});
