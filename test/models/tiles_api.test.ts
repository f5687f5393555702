/** Models of several tiles through the API of the built package: the number of visual tokens depends on the picture. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AbortedError, load, type Model } from '@llava-sp/node';
import { visualTokenRange } from '../../packages/core/src/models/visual.ts';
import { createTokenizer } from '../../packages/core/src/text/tokenizer.ts';
import { stageOf } from '../support/golden_model.ts';
import { convertPublished, type Converted } from '../support/published.ts';

describe.each([
  ['llava-next', 'LLaVA-1.6', 5],
  ['internvl2', 'InternVL', 7],
  ['internvl2-sp', 'InternVL-SP-Cropping', 7],
])('%s', { timeout: 60_000 }, (published, name, tiles) => {
  let converted: Converted;
  let model: Model;
  /** Visual tokens of the golden picture. */
  let visual: number;
  let answer: string;

  beforeAll(async () => {
    converted = await convertPublished(published);
    model = await load(fileURLToPath(converted.model.folder), { threads: 2 });
    const { config, stages } = converted.model;
    visual = stageOf(stages, 'visual_tokens').length / config.text.width;
    answer = await textOf(converted);
  });
  afterAll(async () => {
    await model.dispose();
    await converted.remove();
  });

  const ask = (image: Parameters<Model['ask']>[0] = converted.image, options = {}) =>
    model.ask(image, converted.model.golden.question, { maxTokens: 32, ...options });
  /** The golden picture's left edge: of another shape, so of other tiles. */
  const strip = () => cropped(converted.image, Math.floor(converted.image.width / 8));

  test('says what it is', () => {
    const { config } = converted.model;
    expect(model.info).toMatchObject({ name, tiles, visualTokens: visualTokenRange(config).most });
  });

  test('gives the reference answer, and counts the tokens of this picture', async () => {
    const { golden, config } = converted.model;
    const first = ask();
    expect(await first.text()).toBe(answer);
    const texts = golden.prompt_ids.filter((id) => id !== config.imageToken).length;
    expect(first.usage).toMatchObject({
      imageTokens: visual,
      promptTokens: texts + visual,
      cachedTokens: 0,
    });
    const again = ask();
    expect(await again.text()).toBe(answer);
    const before = golden.prompt_ids.indexOf(config.imageToken);
    expect(again.usage).toMatchObject({ imageTokens: visual, cachedTokens: before + visual });
  });

  test('keeps pictures of other tiles apart when they take turns', async () => {
    const { golden } = converted.model;
    const [one, two] = [await model.look(converted.image), await model.look(strip())];
    const first = await two.ask(golden.question, { maxTokens: 32 }).text();
    for (let turn = 0; turn < 2; turn++) {
      expect(await one.ask(golden.question, { maxTokens: 32 }).text()).toBe(answer);
      const other = two.ask(golden.question, { maxTokens: 32 });
      expect(await other.text()).toBe(first);
      expect(other.usage.imageTokens).not.toBe(visual);
    }
    expect(first).not.toBe(answer);
    one.dispose();
    two.dispose();
  });

  test('refuses an answer that the context has no room for, behind this picture and no other', async () => {
    const { config, golden } = converted.model;
    const answers = [ask(strip()), ask()];
    for (const each of answers) await each.text();
    const [small, large] = answers
      .map(({ usage }) => config.text.context - usage.promptTokens)
      .sort((a, b) => b - a);
    expect(small).toBeGreaterThan(large);
    const [roomy, tight] =
      answers[0].usage.promptTokens < answers[1].usage.promptTokens
        ? [strip(), converted.image]
        : [converted.image, strip()];
    await expect(ask(tight, { maxTokens: small }).text()).rejects.toMatchObject({ code: 'CONTEXT_FULL' });
    const scene = await model.look(tight);
    await expect(scene.ask(golden.question, { maxTokens: large + 1 }).text()).rejects.toMatchObject({
      code: 'CONTEXT_FULL',
    });
    expect(await scene.ask(golden.question, { maxTokens: 1 }).text()).toBeDefined();
    const fits = ask(roomy, { maxTokens: small });
    for await (const piece of fits) if (piece) break;
    await fits.text();
    expect(fits.finishReason).not.toBeNull();
  });

  test('a context that the largest picture does not fit is refused at once', async () => {
    const { most } = visualTokenRange(converted.model.config);
    const loading = load(fileURLToPath(converted.model.folder), { context: most });
    await expect(loading).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });

  test('stops between tiles, and is usable after it', async () => {
    let aborted = 0;
    for (let wait = 0; wait < 12; wait++) {
      const controller = new AbortController();
      const looking = model.look(converted.image, { signal: controller.signal });
      setTimeout(() => controller.abort(), wait);
      try {
        (await looking).dispose();
      } catch (error) {
        expect(error).toBeInstanceOf(AbortedError);
        aborted++;
      }
    }
    expect(aborted).toBeGreaterThan(0);
    expect(await ask().text()).toBe(answer);
  });
});

/** The golden tokens as text: our own detokeniser's, which shows a damaged character at its place and keeps the bytes behind it. */
async function textOf({ model: { folder, golden } }: Converted): Promise<string> {
  const json = async (file: string): Promise<unknown> =>
    JSON.parse(await readFile(new URL(file, folder), 'utf8'));
  const tokenizer = createTokenizer(await json('tokenizer.json'), await json('tokenizer_config.json'));
  const detokenizer = tokenizer.detokenizer();
  const pieces = golden.greedy_tokens.map((id) => detokenizer.push(id));
  return [...pieces, detokenizer.flush()].join('').trimStart();
}

function cropped(image: Converted['image'], width: number): Converted['image'] {
  const data = new Uint8Array(width * image.height * 3);
  for (let y = 0; y < image.height; y++) {
    const from = y * image.width * 3;
    data.set(image.data.subarray(from, from + width * 3), y * width * 3);
  }
  return { ...image, data, width };
}
