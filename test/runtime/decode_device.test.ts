/** Backends that decode by themselves: what the pipeline asks of them, and what it makes of tokens that come late. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { loadModel } from '../../packages/core/src/api/load.ts';
import type { Answer } from '../../packages/core/src/api/answer.ts';
import type { Model } from '../../packages/core/src/api/model.ts';
import type { AskOptions } from '../../packages/core/src/api/options.ts';
import type * as Backends from '../../packages/core/src/backends/index.ts';
import type { ByteSource, Host } from '../../packages/core/src/host.ts';
import { FragileDevices } from '../support/fragile.ts';
import { folderFiles, goldenFolder } from '../support/golden.ts';
import { createTestHost } from '../support/host.ts';

const seam = vi.hoisted(() => ({ create: null as typeof Backends.createBackend | null }));
vi.mock('../../packages/core/src/backends/index.ts', async (original) => ({
  ...(await original<typeof Backends>()),
  createBackend: (...args: Parameters<typeof Backends.createBackend>) => seam.create?.(...args),
}));

/** Ids that end an answer, beside none: any token may be made one. */
let eos: number[];
const files = folderFiles(goldenFolder('cropping'));
const host: Host = {
  ...createTestHost(),
  openModel: async () => ({
    ...files,
    open: (name) => (name === 'config.json' ? config() : files.open(name)),
  }),
};

/** The folder's, with room for long questions. */
async function config(): Promise<ByteSource> {
  const source = await files.open('config.json');
  const json = JSON.parse(new TextDecoder().decode(await source.read(0, source.size))) as {
    text_config: object;
  };
  const text_config = { ...json.text_config, max_position_embeddings: 1024, eos_token_id: eos };
  const bytes = new TextEncoder().encode(JSON.stringify({ ...json, text_config }));
  return { ...source, size: bytes.length, read: async (begin, end) => bytes.slice(begin, end) };
}

const image = {
  data: Uint8Array.from({ length: 30 * 20 * 3 }, (_, i) => (i * 40) % 251),
  width: 30,
  height: 20,
};
const QUESTION = 'What is in the picture?';
let devices: FragileDevices;
let models: Model[];

beforeEach(() => {
  devices = new FragileDevices();
  devices.decode = true;
  seam.create = devices.create;
  models = [];
  eos = [];
});

afterEach(async () => {
  for (const model of models) await model.dispose();
  expect({ alive: devices.alive, decoding: devices.decoding }).toEqual({ alive: 0, decoding: 0 });
});

async function load(decode = true): Promise<Model> {
  devices.decode = decode;
  const model = await loadModel(host, 'model');
  models.push(model);
  return model;
}

const steps = () => devices.calls.filter((call) => call === 'run tokens[1]').length;

describe('the answers are those of the host', () => {
  const settings: [string, AskOptions][] = [
    ['greedy', {}],
    ['greedy, with a penalty', { repetitionPenalty: 1.4 }],
    ['with a seed', { temperature: 1.5, seed: 9 }],
    [
      'with a seed and every filter',
      { temperature: 2, topK: 50, topP: 0.9, minP: 0.01, repetitionPenalty: 1.2, seed: 4 },
    ],
    ['of one token', { maxTokens: 1 }],
  ];
  test.each(settings)('%s', async (_what, options) => {
    const [byHost, byDevice] = [await load(false), await load()];
    const [wanted, answer] = [byHost, byDevice].map((model) =>
      model.ask(image, QUESTION, { maxTokens: 24, ...options }),
    );
    expect(await answer.text()).toBe(await wanted.text());
    expect(answer.usage).toEqual(wanted.usage);
    expect(answer.finishReason).toBe('length');
    expect(devices.decodings).toHaveLength(1);
  });

  test('to a prompt of several chunks: all but the last one run before', async () => {
    const [byHost, byDevice] = [await load(false), await load()];
    const question = 'Z9#'.repeat(120);
    const wanted = byHost.ask(image, question, { maxTokens: 4 });
    const text = await wanted.text();
    devices.calls = [];
    expect(await byDevice.ask(image, question, { maxTokens: 4 }).text()).toBe(text);
    const [{ rows, pos, known, count }] = devices.decodings;
    expect(devices.calls).toContain('run tokens[256]');
    expect({ total: rows + pos, known, count }).toEqual({
      total: wanted.usage.promptTokens,
      known: [],
      count: 4,
    });
    expect(rows).toBeLessThan(256);
  });
});

describe('tokens decoded past the end', () => {
  test('of a stop token or string are not said, and change no later answer', async () => {
    const model = await load();
    const whole = model.ask(image, QUESTION, { maxTokens: 24 });
    const text = await whole.text();
    const [{ taken }] = devices.decodings;
    expect(taken).toHaveLength(24);

    // A character that comes for the first time after some others.
    const stop = [...text].find((c, i) => i >= 6 && c !== '\ufffd' && text.indexOf(c) === i) ?? '';
    expect(stop).not.toBe('');
    const cut = model.ask(image, QUESTION, { maxTokens: 24, stop: [stop] });
    expect(await cut.text()).toBe(text.slice(0, text.indexOf(stop)));
    expect(cut.finishReason).toBe('stop_string');
    expect(cut.usage.completionTokens).toBeLessThan(24);
    expect(await model.ask(image, QUESTION, { maxTokens: 24 }).text()).toBe(text);

    // A token that comes for the first time after some others.
    const last = taken.findIndex((id, i) => i >= 5 && taken.indexOf(id) === i);
    expect(last).toBeGreaterThan(0);
    eos = [taken[last]];
    const ending = await load();
    for (let turn = 0; turn < 2; turn++) {
      const before = steps();
      const ended = ending.ask(image, QUESTION, { maxTokens: 24 });
      expect(text.startsWith(await ended.text())).toBe(true);
      expect(ended.finishReason).toBe('stop');
      expect(ended.usage.completionTokens).toBe(last);
      // The device was ahead, by some steps and no more.
      expect(steps() - before).toBeGreaterThan(last);
      expect(steps() - before).toBeLessThan(last + 4);
    }
  });
});

describe('leaving', () => {
  test('by break, cancel or abort ends the decoding, and the model goes on', async () => {
    const model = await load();
    const text = await model.ask(image, QUESTION, { maxTokens: 24 }).text();
    const controller = new AbortController();
    const leave: ((answer: Answer) => void)[] = [(answer) => answer.cancel(), () => controller.abort()];
    for (const how of [null, ...leave]) {
      const answer = model.ask(image, QUESTION, { maxTokens: 200, signal: controller.signal });
      const read = async (): Promise<void> => {
        let pieces = 0;
        for await (const piece of answer) {
          if (!piece || ++pieces < 2) continue;
          if (!how) break;
          how(answer);
        }
      };
      if (how === leave[1]) await expect(read()).rejects.toMatchObject({ code: 'ABORTED' });
      else await read();
      await answer.text().catch(() => undefined);
      expect(answer.usage.completionTokens).toBeGreaterThan(1);
      expect(answer.usage.completionTokens).toBeLessThan(190);
      expect(devices.decoding).toBe(0);
      expect(await model.ask(image, QUESTION, { maxTokens: 24 }).text()).toBe(text);
    }
  });

  test("an error of the device is the answer's, once", async () => {
    const model = await load();
    const text = await model.ask(image, QUESTION, { maxTokens: 8 }).text();
    let left = 4;
    devices.onCall = (call) => {
      if (call === 'run tokens[1]' && --left === 0) throw new Error('a mistake of the backend');
    };
    await expect(model.ask(image, QUESTION, { maxTokens: 8 }).text()).rejects.toThrow(
      'a mistake of the backend',
    );
    expect(devices.decoding).toBe(0);
    expect(await model.ask(image, QUESTION, { maxTokens: 8 }).text()).toBe(text);
    expect(devices.starts).toHaveLength(1);
  });
});

test('progress counts tokens as they are taken, and its times part at the first one', async () => {
  const model = await load();
  await model.ask(image, QUESTION, { maxTokens: 2 }).text();
  const answer = model.ask(image, QUESTION, { maxTokens: 24 });
  let prefill = 0;
  for await (const piece of answer) {
    if (!piece || prefill) continue;
    prefill = answer.timings.prefill;
    expect(answer.usage.completionTokens).toBeGreaterThan(0);
  }
  const { timings, usage } = answer;
  expect(usage).toMatchObject({ completionTokens: 24 });
  expect(prefill).toBeGreaterThan(0);
  expect(timings.prefill).toBe(prefill);
  expect(timings.decode).toBeGreaterThan(0);
  expect(timings.prefill + timings.decode).toBeLessThanOrEqual(timings.total);
  expect(timings.tokensPerSecond).toBeCloseTo((23 / timings.decode) * 1000, 6);
});
