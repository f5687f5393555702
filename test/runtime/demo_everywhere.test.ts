/** The demo model gives the same greedy answers in Node, Deno and a page of Chromium. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { load } from '@llava-sp/node';
import { beforeAll, describe, expect, test } from 'vitest';
import type { EvalRow } from '../../packages/demo-model/eval.ts';
import { askAll, type AskInput, type Asked } from '../support/ask_all.ts';
import { openChromium } from '../support/chromium.ts';
import { root, runInDeno } from '../support/deno.ts';

const MINUTES = 60_000;
/** A driver compiles for a minute where its cache of shaders is empty. */
const TIMEOUT = 10 * MINUTES;
const model = 'packages/demo-model/model';
const folder = 'packages/demo-model/testset';

let questions: AskInput['questions'];
let expected: Asked;
beforeAll(async () => {
  const lines = (await readFile(join(root, folder, 'questions.jsonl'), 'utf8')).trim().split('\n');
  questions = lines
    .map((line) => JSON.parse(line) as EvalRow)
    .slice(0, 40)
    .map(({ image, prompt }) => ({ image: `${folder}/${image}`, prompt }));
  const absolute = questions.map(({ image, prompt }) => ({ image: join(root, image), prompt }));
  expected = await askAll(load, {
    model: join(root, model),
    options: { device: 'wasm' },
    questions: absolute,
  });
}, 5 * MINUTES);

const moduleOf = (name: string): URL => new URL(`../support/${name}.ts`, import.meta.url);

async function inDeno(options: AskInput['options']): Promise<Asked> {
  return runInDeno(moduleOf('ask_in_deno'), { model, options, questions }, { timeout: TIMEOUT });
}

async function inPage(options: AskInput['options']): Promise<Asked> {
  const chromium = await openChromium(moduleOf('ask_in_page'));
  try {
    return await chromium.run({ model: `/${model}`, options, questions }, TIMEOUT);
  } finally {
    await chromium.close();
  }
}

describe.each([
  ['Deno', inDeno],
  ['Chromium', inPage],
])('in %s', (_, ask) => {
  test.each(['wasm', 'webgpu'] as const)('by %s', { timeout: 11 * MINUTES }, async (device) => {
    const asked = await ask({ device });
    console.log(
      `load ${asked.loadMs.toFixed(0)} ms, ${questions.length} answers ${asked.askMs.toFixed(0)} ms`,
    );
    expect(asked.backend.name).toBe(device);
    expect(asked.texts).toEqual(expected.texts);
  });
});
