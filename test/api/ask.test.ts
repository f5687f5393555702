/** The API of the built package: answers, streams, scenes, the queue, and stopping. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AbortedError, load, nodeHost, type Model } from '@llava-sp/node';
import { goldenOf, imagePath, modelPath } from '../support/models.ts';
import type { Golden } from '../support/golden.ts';

const NAME = 'cropping';
const image = imagePath(NAME);
let model: Model;
let golden: Golden;

beforeAll(async () => {
  golden = await goldenOf(NAME);
  model = await load(modelPath(NAME), { threads: 2 });
});

afterAll(() => model.dispose());

const ask = (options = {}) => model.ask(image, golden.question, { maxTokens: 32, ...options });

describe('ask', () => {
  test.each(['cropping', 'pooling', 'plain'])('%s gives the reference answer', async (name) => {
    const expected = await goldenOf(name);
    const other = await load(modelPath(name));
    try {
      expect(await other.ask(imagePath(name), expected.question, { maxTokens: 32 }).text()).toBe(
        expected.answer,
      );
    } finally {
      await other.dispose();
    }
  });

  test('streams pieces that join to the whole text', async () => {
    const answer = ask();
    const pieces: string[] = [];
    for await (const piece of answer) pieces.push(piece);
    expect(pieces.length).toBeGreaterThan(5);
    expect(pieces.join('')).toBe(golden.answer);
    expect(await answer.text()).toBe(golden.answer);
    expect(answer.finishReason).toBe('length');
    expect(answer.usage).toMatchObject({
      promptTokens: golden.prompt_ids.length - 1 + 150,
      imageTokens: 150,
      completionTokens: 32,
    });
    expect(answer.timings.total).toBeGreaterThan(0);
  });

  test('takes a path, URL, bytes, Blob and pixels alike', async () => {
    const bytes = new Uint8Array(await readFile(image));
    const pixels = await nodeHost.decodeImage(bytes);
    const { buffer } = bytes.slice();
    const dataUrl = `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`;
    for (const input of [image, pathToFileURL(image), dataUrl, bytes, buffer, new Blob([bytes]), pixels]) {
      expect(await model.ask(input, golden.question, { maxTokens: 32 }).text()).toBe(golden.answer);
    }
  });

  test('does not encode the same picture twice in a row', async () => {
    await ask().text();
    const again = ask();
    await again.text();
    expect(again.usage.cachedTokens).toBeGreaterThan(150);
    expect(again.timings.vision).toBe(0);
  });

  test('gives the same text for the same seed, and another for another', async () => {
    const sampled = (seed: number) => ask({ temperature: 1.5, seed }).text();
    const [first, same, other] = [await sampled(1), await sampled(1), await sampled(2)];
    expect(same).toBe(first);
    expect(other).not.toBe(first);
  });

  test('ends before a stop string', async () => {
    const stop = golden.answer.slice(12, 15);
    const answer = ask({ stop: [stop] });
    expect(await answer.text()).toBe(golden.answer.slice(0, golden.answer.indexOf(stop)));
    expect(answer.finishReason).toBe('stop_string');
  });

  test('answers questions in the order they were asked', async () => {
    const order: number[] = [];
    const answers = [0, 1, 2, 3].map((i) => {
      const answer = ask();
      void answer.text().then(() => order.push(i));
      return answer.text();
    });
    expect(await Promise.all(answers)).toEqual([0, 1, 2, 3].map(() => golden.answer));
    expect(order).toEqual([0, 1, 2, 3]);
  });
});

describe('look', () => {
  test('keeps pictures apart when they take turns', async () => {
    const pixels = await nodeHost.decodeImage(new Uint8Array(await readFile(image)));
    const flipped = { ...pixels, data: pixels.data.map((_, i, all) => all[all.length - 1 - i]) };
    const one = await model.look(image);
    const two = await model.look(flipped);
    expect([one.width, one.height]).toEqual([pixels.width, pixels.height]);
    const first = await two.ask(golden.question, { maxTokens: 32 }).text();
    for (let turn = 0; turn < 3; turn++) {
      expect(await one.ask(golden.question, { maxTokens: 32 }).text()).toBe(golden.answer);
      const answer = two.ask(golden.question, { maxTokens: 32 });
      expect(await answer.text()).toBe(first);
      expect(answer.usage.cachedTokens).toBeGreaterThan(150);
    }
    expect(first).not.toBe(golden.answer);
    one.dispose();
    two.dispose();
    await expect(one.ask('again?').text()).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });
});

describe('stopping', () => {
  test('a break ends the work and leaves the model usable', async () => {
    const answer = ask({ maxTokens: 200 });
    for await (const piece of answer) if (piece) break;
    expect(golden.answer.startsWith((await answer.text()).slice(0, 3))).toBe(true);
    expect(answer.finishReason).toBe('cancelled');
    // What was done until then can be read.
    expect(answer.usage).toMatchObject({
      imageTokens: 150,
      promptTokens: golden.prompt_ids.length - 1 + 150,
    });
    expect(answer.usage.completionTokens).toBeGreaterThan(0);
    expect(answer.timings.total).toBeGreaterThan(0);
    expect(await ask().text()).toBe(golden.answer);
  });

  test('cancel before the start ends the answer without text', async () => {
    const busy = ask();
    const answer = ask();
    answer.cancel();
    expect(await answer.text()).toBe('');
    expect(answer.finishReason).toBe('cancelled');
    expect(await busy.text()).toBe(golden.answer);
  });

  test('an abort at any time gives an AbortedError and leaves the model usable', async () => {
    let aborted = 0;
    for (const delay of [0, 1, 3, 10, 20, 40, 60]) {
      const controller = new AbortController();
      const noise = { data: new Uint8Array(40 * 30 * 3).fill(delay), width: 40, height: 30 };
      const answer = model.ask(noise, golden.question, { maxTokens: 200, signal: controller.signal });
      setTimeout(() => controller.abort(), delay);
      const outcome = await answer.text().catch((error: unknown) => error);
      // An answer may end by itself before its abort, then it has a reason; every other one is an AbortedError.
      if (answer.finishReason === null) {
        expect(outcome).toBeInstanceOf(AbortedError);
        aborted++;
      }
      expect(await ask().text()).toBe(golden.answer);
    }
    expect(aborted).toBeGreaterThanOrEqual(3);
  });

  test('an abort reaches a load at every phase', async () => {
    for (const phase of ['files', 'device', 'weights', 'compile'] as const) {
      const controller = new AbortController();
      const loading = load(modelPath(NAME), {
        signal: controller.signal,
        onProgress: (progress) => progress.phase === phase && controller.abort(),
      });
      await expect(loading, phase).rejects.toMatchObject({ code: 'ABORTED' });
    }
  });

  test('dispose ends what runs and refuses what comes', async () => {
    const other = await load(modelPath(NAME), { threads: 1 });
    const running = other.ask(image, golden.question, { maxTokens: 200 });
    // A tiny model says all in milliseconds: it is ended the moment that it begins to talk.
    const pieces = running[Symbol.asyncIterator]();
    await pieces.next();
    const disposed = other.dispose();
    const rest = async (): Promise<void> => {
      while (!(await pieces.next()).done);
    };
    await expect(rest()).rejects.toMatchObject({ code: 'MODEL_DISPOSED' });
    await disposed;
    await expect(other.ask(image, 'again?').text()).rejects.toMatchObject({ code: 'MODEL_DISPOSED' });
    await other.dispose();
  });
});

/** Ends a thread whose reply has arrived, and was not heard yet. */
const END_A_THREAD = `
  const { nodeHost } = await import('@llava-sp/node');
  const port = nodeHost.spawnWorker();
  const usage = () => port.post({ seq: 1, type: 'usage' }, []);
  await new Promise((heard) => { port.onMessage(heard); usage(); });
  usage();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  await port.terminate();
  console.log('ended');
`;

test('a process waits for a thread that it ends, whatever reply is on its way', async () => {
  const args = ['--input-type=module', '--eval', END_A_THREAD];
  // Rejects unless the exit code is 0.
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
  expect(stdout).toBe('ended\n');
});

describe('info', () => {
  test('says what runs and why', () => {
    const { info } = model;
    expect(info.name).toBe('LLaVA-SP-Cropping');
    expect(info.visualTokens).toBe(150);
    expect(info.backend).toMatchObject({ name: 'wasm', threads: 2 });
    expect(info.choices.map(({ what }) => what)).toEqual([
      'device',
      'threads',
      'kernels',
      'q4 matrix-vector',
    ]);
    for (const { reason } of info.choices) expect(reason).not.toBe('');
  });

  test('memory stays flat over many questions', async () => {
    await ask().text();
    const before = await model.memory();
    for (let i = 0; i < 40; i++) await ask().text();
    expect(await model.memory()).toEqual(before);
  });
});
