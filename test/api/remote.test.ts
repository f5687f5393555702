/** Models in this thread and behind a worker: the same behaviour through both engines. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  AbortedError,
  ArgumentError,
  DeviceError,
  doctorRemote,
  LoadError,
  load,
  loadRemote,
  nodeHost,
  UnsupportedError,
  type ImageInput,
  type LoadOptions,
  type LoadProgress,
  type Model,
} from '@llava-sp/node';
import type { Golden } from '../support/golden.ts';
import { goldenOf, imagePath, modelPath } from '../support/models.ts';
import { loadInWorker, openPort } from '../support/remote.ts';

const NAME = 'cropping';
const image = imagePath(NAME);
const path = modelPath(NAME);
let golden: Golden;

beforeAll(async () => {
  golden = await goldenOf(NAME);
});

type Family = typeof ArgumentError | typeof LoadError | typeof UnsupportedError;

const shades = (shade: number): { data: Uint8Array; width: number; height: number } => ({
  data: new Uint8Array(40 * 30 * 3).fill(shade),
  width: 40,
  height: 30,
});

/** What an answer still says, once it has begun. */
async function rest(pieces: AsyncIterator<string>): Promise<void> {
  while (!(await pieces.next()).done);
}

const engines: [string, (options?: LoadOptions) => Promise<Model>][] = [
  ['in this thread', (options = {}) => load(path, { threads: 1, ...options })],
  ['behind a worker', (options = {}) => loadInWorker(path, { threads: 1, ...options })],
];

describe.each(engines)('a model %s', (where, open) => {
  let model: Model;
  beforeAll(async () => {
    model = await open();
  });
  afterAll(() => model.dispose());
  const ask = (options = {}) => model.ask(image, golden.question, { maxTokens: 32, ...options });

  test('streams the reference answer, with its figures', async () => {
    const answer = ask({ explain: true });
    const pieces: string[] = [];
    for await (const piece of answer) {
      expect(answer.picture).toMatchObject({ width: 131, height: 77, geometry: { sourceWidth: 131 } });
      expect(answer.explanation?.tiles).toHaveLength(1);
      expect(answer.finishReason).toBeNull();
      pieces.push(piece);
    }
    expect(pieces.length).toBeGreaterThan(5);
    expect(pieces.join('')).toBe(golden.answer);
    expect(answer.usage).toEqual({
      promptTokens: golden.prompt_ids.length - 1 + 150,
      imageTokens: 150,
      cachedTokens: 0,
      completionTokens: 32,
    });
    expect(answer.finishReason).toBe('length');
    expect(answer.timings.total).toBeGreaterThan(0);
    expect(answer.explanation?.tiles[0].attention).toBeInstanceOf(Float32Array);
  });

  test('takes every kind of picture, and leaves the caller its arrays', async () => {
    const bytes = new Uint8Array(await readFile(image));
    const pixels = await nodeHost.decodeImage(bytes);
    const { buffer } = bytes.slice();
    const url = new URL(`data:image/png;base64,${Buffer.from(bytes).toString('base64')}`);
    for (const input of [image, url, bytes, Buffer.from(bytes), buffer, new Blob([bytes]), pixels]) {
      expect(await model.ask(input, golden.question, { maxTokens: 32 }).text()).toBe(golden.answer);
    }
    expect([bytes.length, buffer.byteLength, pixels.data.length].every((size) => size > 0)).toBe(true);
  });

  test('takes a picture as it is at the call', async () => {
    const frame = shades(10);
    const first = model.ask(frame, golden.question, { maxTokens: 8 });
    frame.data.fill(250);
    const second = model.ask(frame, golden.question, { maxTokens: 8 });
    const [dark, light] = [await first.text(), await second.text()];
    expect(await model.ask(shades(10), golden.question, { maxTokens: 8 }).text()).toBe(dark);
    expect(await model.ask(shades(250), golden.question, { maxTokens: 8 }).text()).toBe(light);
  });

  test('answers in the order of the questions', async () => {
    const order: number[] = [];
    const answers = [0, 1, 2, 3].map((i) =>
      ask()
        .text()
        .then((text) => (order.push(i), text)),
    );
    expect(new Set(await Promise.all(answers))).toEqual(new Set([golden.answer]));
    expect(order).toEqual([0, 1, 2, 3]);
  });

  test('keeps scenes, and forgets them', async () => {
    const scene = await model.look(image);
    expect([scene.width, scene.height]).toEqual([131, 77]);
    expect(scene.timings.vision).toBeGreaterThan(0);
    expect(await model.ask(shades(3), golden.question, { maxTokens: 2 }).text()).not.toBe('');
    const answer = scene.ask(golden.question, { maxTokens: 32 });
    expect(await answer.text()).toBe(golden.answer);
    expect(answer.usage.cachedTokens).toBeGreaterThan(150);
    scene.dispose();
    await expect(scene.ask('again?').text()).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });

  test('a break, a cancel and an abort stop the work at once', async () => {
    const broken = ask({ maxTokens: 200 });
    for await (const piece of broken) if (piece) break;
    await broken.text();
    expect(broken.finishReason).toBe('cancelled');
    expect(broken.usage.completionTokens).toBeGreaterThan(0);
    const busy = ask({ maxTokens: 200 });
    const cancelled = ask();
    cancelled.cancel();
    expect(await cancelled.text()).toBe('');
    const controller = new AbortController();
    const aborted = ask({ signal: controller.signal });
    controller.abort(new Error('the caller left'));
    const error: unknown = await aborted.text().catch((e: unknown) => e);
    expect(error).toBeInstanceOf(AbortedError);
    expect((error as AbortedError).cause).toMatchObject({ message: 'the caller left' });
    busy.cancel();
    const before = ask({ signal: AbortSignal.abort() });
    await expect(before.text()).rejects.toBeInstanceOf(AbortedError);
    expect(await ask().text()).toBe(golden.answer);
  });

  test('errors keep family, code, message, fix and cause', async () => {
    const wrong: [ImageInput, string, object, Family, string][] = [
      [image, '', {}, ArgumentError, 'PROMPT_EMPTY'],
      [image, 'x', { maxTokens: 1e9 }, ArgumentError, 'CONTEXT_FULL'],
      [image, 'x', { temperature: -1 }, ArgumentError, 'OPTION_INVALID'],
      [image, 'x', { signal: 3 }, ArgumentError, 'OPTION_INVALID'],
      [image, 'x', { stop: [() => 3] }, ArgumentError, 'OPTION_INVALID'],
      ['/no/such/picture.png', 'x', {}, LoadError, 'FILE_UNREADABLE'],
      ['', 'x', {}, ArgumentError, 'IMAGE_MISSING'],
      [3 as never, 'x', {}, ArgumentError, 'IMAGE_INVALID'],
      [{ data: new Uint8Array(5), width: 2, height: 2 }, 'x', {}, ArgumentError, 'IMAGE_INVALID'],
      [new Uint8Array(50), 'x', {}, UnsupportedError, 'IMAGE_UNSUPPORTED_FORMAT'],
    ];
    for (const [input, question, options, family, code] of wrong) {
      const error: unknown = await model
        .ask(input, question, options)
        .text()
        .catch((e: unknown) => e);
      expect(error, code).toBeInstanceOf(family);
      expect(error).toMatchObject({ code });
      expect((error as ArgumentError).fix).not.toBe('');
    }
    expect(await ask().text()).toBe(golden.answer);
  });

  test('keeps conversations, and their place in the cache', async () => {
    const chat = model.chat(image);
    const questions = [golden.question, 'And now?'];
    const texts: string[] = [];
    for (const question of questions) texts.push(await chat.ask(question, { maxTokens: 16 }).text());
    expect(golden.answer.startsWith(texts[0])).toBe(true);
    const again = model.chat(image);
    await again.ask(golden.question, { maxTokens: 16 }).text();
    await model.ask(shades(7), '?', { maxTokens: 1 }).text();
    const answer = again.ask('And now?', { maxTokens: 16 });
    expect(await answer.text()).toBe(texts[1]);
    const last = again.ask('?', { maxTokens: 1 });
    await last.text();
    expect(last.usage.cachedTokens).toBeGreaterThan(answer.usage.promptTokens);
    expect(again.turns.map(({ text }) => text).slice(0, 4)).toEqual([
      questions[0],
      texts[0],
      questions[1],
      texts[1],
    ]);
    expect((await chat.scene).explanation.tiles[0].tokens).toHaveLength(6);
    for (const it of [chat, again]) it.dispose();
    await expect(chat.ask('x').text()).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });

  // Through the link, in earnest.
  const many = where === 'behind a worker' ? 1000 : 200;
  test(`${many} questions leave no listener on a signal`, async () => {
    const { signal } = new AbortController();
    const scene = await model.look(image);
    const target = AbortSignal.prototype;
    const onSignals = (spy: { mock: { contexts: unknown[] } }) =>
      spy.mock.contexts.filter((it) => it instanceof AbortSignal).length;
    const added = vi.spyOn(target, 'addEventListener');
    const removed = vi.spyOn(target, 'removeEventListener');
    let open = 0;
    let all = 0;
    try {
      const chat = model.chat(scene);
      for (let i = 0; i < many; i++) {
        await scene.ask('?', { maxTokens: 1, signal }).text();
        if (i % 10 === 0)
          await chat
            .ask('?', { maxTokens: 1, signal })
            .text()
            .catch(() => undefined);
        if (i % 10 === 1) await model.look(shades(1), { signal }).then((other) => other.dispose());
      }
      all = onSignals(added);
      open = all - onSignals(removed);
    } finally {
      vi.restoreAllMocks();
    }
    expect(all).toBeGreaterThan(many);
    expect(open).toBe(0);
    scene.dispose();
  });

  test('says what runs and what it takes', async () => {
    const { info } = model;
    expect(info).toMatchObject({ name: 'LLaVA-SP-Cropping', visualTokens: 150, backend: { name: 'wasm' } });
    expect(info.config.spatial?.kernels).toHaveLength(6);
    expect((await model.memory()).weights).toBeGreaterThan(0);
  });

  test('loads with progress; an abort at any phase ends it', async () => {
    const seen: LoadProgress[] = [];
    await (await open({ onProgress: (progress) => seen.push(progress) })).dispose();
    expect(seen.map(({ phase }) => phase)).toEqual(
      expect.arrayContaining(['files', 'device', 'weights', 'compile', 'ready']),
    );
    expect(seen.at(-1)?.fraction).toBe(1);
    for (const phase of ['files', 'weights', 'compile'] as const) {
      const controller = new AbortController();
      const { signal } = controller;
      const onProgress = (progress: LoadProgress): void => {
        if (progress.phase === phase) controller.abort();
      };
      await expect(open({ signal, onProgress }), phase).rejects.toBeInstanceOf(AbortedError);
    }
    const thrown = new Error('of the listener');
    await expect(
      open({
        onProgress: () => {
          throw thrown;
        },
      }),
    ).rejects.toBe(thrown);
    await expect(open({ context: -1 })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });

  test('dispose ends what runs and refuses what comes', async () => {
    const other = await open();
    const running = other.ask(image, golden.question, { maxTokens: 200 });
    // A tiny model says all in milliseconds: it is ended the moment that it begins to talk.
    const pieces = running[Symbol.asyncIterator]();
    await pieces.next();
    const disposed = other.dispose();
    await expect(rest(pieces)).rejects.toMatchObject({ code: 'MODEL_DISPOSED' });
    await disposed;
    await expect(other.ask(image, 'again?').text()).rejects.toMatchObject({ code: 'MODEL_DISPOSED' });
    await expect(other.look(image)).rejects.toMatchObject({ code: 'MODEL_DISPOSED' });
    await other.dispose();
  });
});

describe('the link', () => {
  const open = async (page = {}) => {
    const port = openPort();
    return { port, model: await loadRemote(port, path, { threads: 1 }, page) };
  };

  test('a worker that dies fails what is under way and what comes', async () => {
    const { port, model } = await open();
    const answer = model.ask(image, golden.question, { maxTokens: 200 });
    const queued = model.ask(image, golden.question);
    const pieces = answer[Symbol.asyncIterator]();
    await pieces.next();
    const failed = [rest(pieces), queued.text()].map((it) =>
      expect(it).rejects.toMatchObject({ code: 'WORKER_FAILED', fix: 'Load the model again.' }),
    );
    await port.worker.terminate();
    await Promise.all(failed);
    const error: unknown = await model.memory().catch((e: unknown) => e);
    expect(error).toBeInstanceOf(DeviceError);
    expect(error).toMatchObject({ code: 'WORKER_FAILED' });
    await model.dispose();
  });

  test('a worker that dies while it loads fails the load', async () => {
    const port = openPort();
    const loading = loadRemote(port, path, { onProgress: () => void port.worker.terminate() });
    await expect(loading).rejects.toMatchObject({ code: 'WORKER_FAILED' });
  });

  test('two models do not disturb each other, and end their workers', async () => {
    const [a, b] = [await open(), await open()];
    const ask = ({ model }: { model: Model }) => model.ask(image, golden.question, { maxTokens: 32 }).text();
    const texts = [ask(a), ask(b), ask(a), ask(b)];
    expect(new Set(await Promise.all(texts))).toEqual(new Set([golden.answer]));
    await a.model.dispose();
    expect([a.port.terminated, b.port.terminated]).toEqual([true, false]);
    expect(await ask(b)).toBe(golden.answer);
    await b.model.dispose();
    expect(b.port.terminated).toBe(true);
  });

  test("the platform's pictures are read in the page, and keep the order of the questions", async () => {
    const pixels = await nodeHost.decodeImage(new Uint8Array(await readFile(image)));
    const slow = { kind: 'slow' };
    const broken = { kind: 'broken' };
    const read: object[] = [];
    const readPixels = (input: object) => {
      if (input !== slow && input !== broken) return null;
      read.push(input);
      if (input === broken) return Promise.reject(new Error('tainted'));
      // As a host gives it: an array of its own.
      return new Promise<typeof pixels>((resolve) => {
        setTimeout(() => resolve({ ...pixels, data: pixels.data.slice() }), 60);
      });
    };
    const { model } = await open({ readPixels });
    const order: string[] = [];
    const ask = (name: string, input: unknown) =>
      model
        .ask(input as ImageInput, golden.question, { maxTokens: 32 })
        .text()
        .finally(() => order.push(name));
    const answers = [ask('slow', slow), ask('raw', pixels)];
    const failed = expect(ask('broken', broken)).rejects.toThrow('tainted');
    expect(read).toEqual([slow, broken]);
    expect(await Promise.all(answers)).toEqual([golden.answer, golden.answer]);
    await failed;
    expect(order).toEqual(['broken', 'slow', 'raw']);
    const controller = new AbortController();
    const never = model.ask(slow as never, 'x', { signal: controller.signal });
    controller.abort();
    await expect(never.text()).rejects.toBeInstanceOf(AbortedError);
    expect(await ask('raw', pixels)).toBe(golden.answer);
    await model.dispose();
  });

  test('relative addresses of pictures are relative to the page', async () => {
    const base = new URL(`file://${imagePath(NAME)}`).href;
    const { model } = await open({ base });
    expect(await model.ask('image.png', golden.question, { maxTokens: 32 }).text()).toBe(golden.answer);
    await expect(model.ask('none.png', 'x').text()).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
    await model.dispose();
  });

  test('a GPUDevice can not go along', async () => {
    const gpu = { createBuffer: () => null, queue: {} } as never;
    await expect(loadRemote(openPort(), path, { gpu })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
    await expect(doctorRemote(openPort(), { gpu })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });

  test('doctor reports what it reports here, and ends its worker', async () => {
    const port = openPort();
    const rows: string[] = [];
    const report = await doctorRemote(port, {
      kernels: ['none of this name'],
      onProgress: ({ kernel }) => rows.push(kernel),
    }).catch((error: unknown) => error);
    expect(report).toMatchObject({ wasm: expect.any(Array) as unknown });
    expect(port.terminated).toBe(true);
  });
});
