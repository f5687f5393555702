/** The device `webgl`: the demo model's vision by gpu.js in a page of Chromium, whose WebGL2 computes on the CPU here. */
import { join, relative } from 'node:path';
import { load } from '@llava-sp/node';
import { beforeAll, describe, expect, test } from 'vitest';
import { answered } from '../support/answered.ts';
import { openChromium, type Chromium } from '../support/chromium.ts';
import { questionsByPicture } from '../support/demo_set.ts';
import { root } from '../support/deno.ts';
import { NEAR_TIE, partingsOf } from '../support/near_tie.ts';
import { WEBGL_ARGS } from '../support/webgl_args.ts';
import type { BuiltAnswer, BuiltInput } from '../support/built_webgl_in_page.ts';
import type { WebGlAsked, WebGlInput } from '../support/webgl_in_page.ts';

const MINUTES = 60_000;
const model = '/packages/demo-model/model';

let questions: WebGlInput['questions'];
beforeAll(async () => {
  const pictures = (await questionsByPicture()).slice(0, 3);
  questions = pictures
    .flatMap((asked) => asked.slice(0, 5))
    .map(({ image, prompt }) => ({ image: `/${relative(root, image)}`, prompt }));
});

async function inPage<T>(isolated: boolean, work: (chromium: Chromium) => Promise<T>): Promise<T> {
  const chromium = await openChromium(new URL('../support/webgl_in_page.ts', import.meta.url), {
    args: WEBGL_ARGS,
    isolated,
  });
  try {
    return await work(chromium);
  } finally {
    await chromium.close();
  }
}

describe('in a page without threads', () => {
  test(
    'webgl answers as wasm does, also when its context is lost, and is measured by auto',
    { timeout: 5 * MINUTES },
    async () => {
      await inPage(false, async (chromium) => {
        const ask = (input: Partial<WebGlInput>) =>
          chromium.run<WebGlAsked>({ model, options: {}, questions, ...input }, 2 * MINUTES);
        const wasm = await ask({ options: { device: 'wasm' } });
        const newPicture = questions.findLastIndex(({ image }, i) => image !== questions[i - 1]?.image);
        const webgl = await ask({ options: { device: 'webgl' }, lose: [newPicture] });
        console.log(`vision: webgl ${milliseconds(webgl)}, wasm ${milliseconds(wasm)}`);
        // Floats on the GPU where WASM rounds to 8 bits: one answer may be torn between two tokens.
        const paths = questions.map(({ image, prompt }) => ({ image: join(root, image), prompt }));
        const partings = await partingsOf(join(root, model), paths, wasm.texts, webgl.texts);
        const words = partings.map((parting) => parting.words).join('\n');
        expect(webgl.texts).toHaveLength(wasm.texts.length);
        expect(partings.length, words).toBeLessThanOrEqual(1);
        expect(Math.max(1, ...partings.map(({ ratio }) => ratio)), words).toBeLessThan(NEAR_TIE);
        expect(webgl).toMatchObject({ evaluates: false, leaves: false });
        expect(webgl.backend).toMatchObject({ name: 'webgl', threads: 1 });
        expect(webgl.choices[0]).toEqual({ what: 'device', chosen: 'webgl', reason: 'asked for' });
        const products = webgl.choices.find(({ what }) => what === 'matrix products on the GPU');
        expect(Number(products?.chosen)).toBeGreaterThan(10);
        expect(products?.reason).toMatch(/SwiftShader/);
        // Textures of one picture are gone when the next one comes.
        expect(webgl.textures[newPicture - 1]).toBe(webgl.textures[0]);
        expect(webgl.warnings.map(({ code }) => code)).toEqual(['DEVICE_RECOVERED']);
        // Floats on the GPU where WASM has 8 bits.
        expect(webgl.weightBytes).toBeGreaterThan(wasm.weightBytes);
        expect(webgl.weightBytes).toBeLessThan(4.5 * wasm.weightBytes);

        const first = await ask({ questions: questions.slice(0, 1) });
        expect(first.texts).toEqual(wasm.texts.slice(0, 1));
        const measured = first.choices.find(({ what }) => what === 'webgl' || what === 'device');
        const why = first.choices.find(({ reason }) =>
          /takes \d+ ms by WebGL .* and \d+ ms by WASM$/.test(reason),
        );
        expect(why, JSON.stringify(first.choices)).toBeDefined();
        expect(first.backend.name).toBe(why?.what === 'webgl' ? 'wasm' : 'webgl');
        expect(measured).toBeDefined();
        expect(first.warnings.map(({ code }) => code)).toEqual(['BACKEND_FALLBACK']);
        const second = await ask({ questions: [] });
        expect(second.choices.find(({ what }) => what === why?.what)?.reason).toBe(
          `${why?.reason} (remembered)`,
        );
        const won = { wins: true, reason: 'it won', at: Date.now() };
        const third = await ask({
          questions: questions.slice(0, 1),
          remembered: JSON.stringify(won),
        });
        expect(third.backend.name).toBe('webgl');
        expect(third.choices[0].reason).toMatch(/^webgpu was refused: .*; it won \(remembered\)$/);
        expect(third.warnings).toMatchObject([
          { code: 'BACKEND_FALLBACK', message: expect.stringMatching(/WebGL/) as unknown },
        ]);
        expect(third.texts).toEqual(wasm.texts.slice(0, 1));

        const exhausted = ask({ options: { device: 'webgl' }, questions: [], exhausted: true });
        await expect(exhausted).rejects.toThrow(/no memory left/);
      });
    },
  );
});

test('a comparison that fails leaves no context behind', { timeout: MINUTES }, async () => {
  await inPage(false, async (chromium) => {
    // The library keeps one, for what it asks of WebGL2 before.
    const loading = chromium.run({ model, options: {}, questions: [], noWasm: true }, MINUTES);
    await expect(loading).rejects.toThrow(/no build; contexts left: 1\b/);
  });
});

test('with threads, auto does not look at webgl', { timeout: MINUTES }, async () => {
  await inPage(true, async (chromium) => {
    const asked = await chromium.run<WebGlAsked>({ model, options: {}, questions: [] }, MINUTES);
    expect(asked.backend.name).toBe('wasm');
    expect(asked.choices.map(({ what }) => what)).not.toContain('webgl');
  });
});

test(
  'the built package takes gpu.js by its address, in a worker that forbids eval',
  { timeout: 2 * MINUTES },
  async () => {
    const policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";
    const module = new URL('../support/built_webgl_in_page.ts', import.meta.url);
    const chromium = await openChromium(module, { args: WEBGL_ARGS, isolated: false, policy });
    try {
      const [question] = questions;
      const input: BuiltInput = { module: '/packages/browser/dist/index.js', model, ...question };
      const without = await chromium.run<BuiltAnswer>(input, MINUTES);
      expect(without.error).toMatchObject({ name: 'UnsupportedError', code: 'BACKEND_UNAVAILABLE' });
      expect(without.error?.fix).toMatch(/gpuJs/);
      const gpuJs = '/node_modules/gpu.js/dist/gpu-browser.min.js';
      const answer = await chromium.run<BuiltAnswer>({ ...input, gpuJs }, MINUTES);
      expect(answer.error).toBeUndefined();
      expect(answer).toMatchObject({ backend: 'webgl', thread: 'worker' });
      expect(answer.text).toEqual(
        await answered((node) => node.ask(join(root, question.image), question.prompt).text()),
      );
    } finally {
      await chromium.close();
    }
  },
);

test('Node has no WebGL, and says so', async () => {
  await expect(load(join(root, model), { device: 'webgl' })).rejects.toMatchObject({
    name: 'UnsupportedError',
    code: 'BACKEND_UNAVAILABLE',
    message: expect.stringContaining('"webgl"') as unknown,
    fix: expect.stringContaining('wasm') as unknown,
  });
});

function milliseconds({ vision }: WebGlAsked): string {
  return `${vision.map((ms) => ms.toFixed(0)).join(' ')} ms`;
}
