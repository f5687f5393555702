/**
 * The demo model gives the same greedy answers in Node, Deno and a page of Chromium. WebGPU rounds otherwise than WASM: where two
 * tokens are as good as equally likely it may take the other.
 */
import { join, relative } from 'node:path';
import { load } from '@llava-sp/node';
import { beforeAll, describe, expect, test } from 'vitest';
import { askAll, type AskInput, type Asked } from '../support/ask_all.ts';
import { openChromium } from '../support/chromium.ts';
import { questionsByPicture } from '../support/demo_set.ts';
import { root, runInDeno } from '../support/deno.ts';
import { KERNELS, NEAR_TIE, partingsOf } from '../support/near_tie.ts';

const MINUTES = 60_000;
/** A driver compiles for a minute where its cache of shaders is empty. */
const TIMEOUT = 10 * MINUTES;
const model = 'packages/demo-model/model';

let questions: AskInput['questions'];
/** The same, by paths that hold everywhere. */
let absolute: AskInput['questions'];
let expected: Asked;
beforeAll(async () => {
  const pictures = (await questionsByPicture()).slice(0, 8);
  questions = pictures
    .flatMap((asked) => asked.slice(0, 5))
    .map(({ image, prompt }) => ({ image: relative(root, image), prompt }));
  absolute = questions.map(({ image, prompt }) => ({ image: join(root, image), prompt }));
  expected = await askAll(load, {
    model: join(root, model),
    options: { device: 'wasm', kernels: KERNELS },
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
    const asked = await ask({ device, kernels: KERNELS });
    console.log(
      `load ${asked.loadMs.toFixed(0)} ms, ${questions.length} answers ${asked.askMs.toFixed(0)} ms`,
    );
    expect(asked.backend.name).toBe(device);
    const partings = await partingsOf(join(root, model), absolute, expected.texts, asked.texts);
    const words = partings.map((parting) => parting.words).join('\n');
    // Coordinates share their mass with their neighbours in training, so boxes tie now and then.
    const ties = device === 'webgpu' ? questions.length / 10 : 0;
    expect(asked.texts).toHaveLength(questions.length);
    expect(partings.length, words).toBeLessThanOrEqual(ties);
    expect(Math.max(1, ...partings.map(({ ratio }) => ratio)), words).toBeLessThan(NEAR_TIE);
  });
});
