/** Answers under a format, and the probabilities of their tokens, through the built package. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { modelUrl } from '@llava-sp/demo-model';
import { load, type AskOptions, type Model } from '@llava-sp/node';
import { loadInWorker } from '../support/remote.ts';

/** A white and a yellow cross, an orange square. */
const image = new URL('../support/crosses_and_square.png', import.meta.url);
const box = /^\[0\.\d\d(?:, 0\.\d\d){3}\]$/;

describe.each<[string, () => Promise<Model>]>([
  ['in this thread', () => load(modelUrl, { threads: 1 })],
  ['behind a worker', () => loadInWorker(modelUrl.href, { threads: 1 })],
])('a model %s', (_where, open) => {
  let model: Model;
  beforeAll(async () => {
    model = await open();
  });
  afterAll(() => model.dispose());
  const ask = (prompt: string, options: AskOptions) => model.ask(image, prompt, options);

  test('choices: the likeliest of those there are', async () => {
    const question = 'What colour is the square?';
    expect(await ask(question, { format: { choices: ['orange', 'green'] } }).text()).toBe('orange');
    const other = ask(question, { format: { choices: ['mauve', 'taupe'] } });
    expect(['mauve', 'taupe']).toContain(await other.text());
    // It ends by itself, without a step for the end.
    expect(other.finishReason).toBe('stop');
  });

  test('a regular expression that the model keeps to anyhow changes nothing', async () => {
    const question = 'Where is the orange square?';
    const free = await ask(question, {}).text();
    expect(free).toMatch(box);
    const bound = ask(question, { format: { regex: box.source } });
    expect(await bound.text()).toBe(free);
    expect(bound.usage.completionTokens).toBe(9);
  });

  test('JSON of a schema, greedy and drawn', async () => {
    const jsonSchema = {
      type: 'object',
      properties: {
        shapes: { type: 'array', items: { enum: ['star', 'cross', 'square'] }, minItems: 1, maxItems: 3 },
        count: { type: 'integer', minimum: 1, maximum: 9 },
        sure: { type: 'boolean' },
      },
      required: ['shapes', 'count'],
    };
    for (let seed = 0; seed < 6; seed++) {
      const temperature = seed === 0 ? 0 : 1.5;
      const answer = ask('Describe the image.', { format: { jsonSchema }, temperature, topK: 20, seed });
      const value = JSON.parse(await answer.text()) as { shapes: string[]; count: number };
      expect(value.count).toBeGreaterThanOrEqual(1);
      expect(value.count).toBeLessThanOrEqual(9);
      expect(value.shapes.every((shape) => ['star', 'cross', 'square'].includes(shape))).toBe(true);
    }
  });

  test('cut short by maxTokens and by stop strings', async () => {
    const format = { regex: 'a{40}' };
    const short = ask('Describe the image.', { format, maxTokens: 5 });
    // The first token may be the space before the text, which is not part of it.
    expect(await short.text()).toMatch(/^a{4,39}$/);
    expect(short.finishReason).toBe('length');
    const stopped = ask('Describe the image.', { format: { regex: 'ab{0,3}c' }, stop: ['c'] });
    expect(await stopped.text()).toMatch(/^ab*$/);
    expect(stopped.finishReason).toBe('stop_string');
  });

  test('what is no format is refused, and the next question answered', async () => {
    for (const [format, what] of [
      [{ regex: '(?=a)' }, 'lookaround'],
      [{ jsonSchema: { type: 'object' } }, '"properties"'],
      [{ choices: [] }, 'choices'],
      ['json', 'not an object'],
    ]) {
      await expect(ask('?', { format: format as AskOptions['format'] }).text()).rejects.toMatchObject({
        code: 'FORMAT_INVALID',
        message: expect.stringContaining(what as string) as string,
      });
    }
    expect(await ask('What colour is the square?', { format: { choices: ['orange'] } }).text()).toBe(
      'orange',
    );
  });

  test('probabilities of the tokens, by the model alone', async () => {
    const question = 'Where is the orange square?';
    const free = ask(question, { probabilities: true });
    let seen = 0;
    for await (const piece of free) {
      expect(piece).not.toBe('');
      // They come with the text.
      expect(free.tokens.length).toBeGreaterThan(seen);
      seen = free.tokens.length;
    }
    expect(free.tokens).toHaveLength(9);
    expect(
      free.tokens
        .map(({ text }) => text)
        .join('')
        .trimStart(),
    ).toBe(await free.text());
    const probabilities = free.tokens.map(({ probability }) => probability);
    expect(Math.min(...probabilities)).toBeGreaterThan(0);
    expect(Math.max(...probabilities)).toBeLessThanOrEqual(1);
    expect(probabilities.reduce((sum, value) => sum + value, 0) / probabilities.length).toBeGreaterThan(0.05);
    // A format takes no probability away from what it forbids.
    const bound = ask(question, { probabilities: true, format: { choices: ['mauve'] } });
    await bound.text();
    expect(bound.tokens[0].probability).toBeLessThan(0.01);
    expect(ask(question, {}).tokens).toEqual([]);
  });

  test('in a conversation', async () => {
    using chat = model.chat(image);
    expect(
      await chat.ask('What colour is the square?', { format: { choices: ['orange', 'green'] } }).text(),
    ).toBe('orange');
    const second = chat.ask('Where is the orange square?', { format: { regex: box.source } });
    expect(await second.text()).toMatch(box);
    expect(second.usage.cachedTokens).toBeGreaterThan(150);
  });
});
