/** Conversations: what is kept of the KV cache, and that nothing of it shows in the answers. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Chat } from '../../packages/core/src/api/chat.ts';
import { loadModel } from '../../packages/core/src/api/load.ts';
import type { Model } from '../../packages/core/src/api/model.ts';
import type { AskOptions, LoadOptions } from '../../packages/core/src/api/options.ts';
import type * as Backends from '../../packages/core/src/backends/index.ts';
import { createWebGpu } from '../../packages/core/src/backends/webgpu/index.ts';
import type * as Probe from '../../packages/core/src/backends/wasm/probe.ts';
import type { Host } from '../../packages/core/src/host.ts';
import { FragileDevices } from '../support/fragile.ts';
import { folderFiles, goldenFolder } from '../support/golden.ts';
import { openTestGpu } from '../support/gpu.ts';
import { createTestHost } from '../support/host.ts';
import { subgroup } from '../support/variants.ts';

const seam = vi.hoisted(() => ({ create: null as typeof Backends.createBackend | null }));
vi.mock('../../packages/core/src/backends/index.ts', async (original) => ({
  ...(await original<typeof Backends>()),
  createBackend: (...args: Parameters<typeof Backends.createBackend>) => seam.create?.(...args),
}));
// The backend is started often here: its kernels are tested and timed once.
vi.mock('../../packages/core/src/backends/wasm/probe.ts', async (original) => {
  const { probe } = await original<typeof Probe>();
  let result: ReturnType<typeof probe> | null = null;
  return { probe: (...args: Parameters<typeof probe>) => (result ??= probe(...args)) };
});

const host: Host = {
  ...createTestHost(),
  openModel: () => Promise.resolve(folderFiles(goldenFolder('cropping'))),
};
const TOKENS = 6;
/** Tokens before the picture. */
const BEFORE = 109;
const QUESTIONS = ['What is in the picture?', 'And what is left of it?', 'Is it red?'];
const [first, second] = [40, 90].map((shade) => ({
  data: Uint8Array.from({ length: 30 * 20 * 3 }, (_, i) => (i * shade) % 251),
  width: 30,
  height: 20,
}));

let devices: FragileDevices;
let models: Model[];
beforeEach(() => {
  devices = new FragileDevices();
  seam.create = devices.create;
  models = [];
});
afterEach(async () => {
  for (const model of models) await model.dispose();
  expect({ alive: devices.alive, snapshots: devices.snapshots.size }).toEqual({ alive: 0, snapshots: 0 });
});

async function load(options: LoadOptions = {}): Promise<Model> {
  const model = await loadModel(host, 'model', options);
  models.push(model);
  return model;
}

const say = (chat: Chat, text: string, options: AskOptions = {}) =>
  chat.ask(text, { maxTokens: TOKENS, ...options });

async function talk(chat: Chat, questions = QUESTIONS, options: AskOptions = {}): Promise<string[]> {
  const texts: string[] = [];
  for (const question of questions) texts.push(await say(chat, question, options).text());
  return texts;
}

/** The tokens that ran since `from` calls ago, those of decode steps apart, and whether the vision tower did. */
function ran(from: number): { prefill: number; steps: number; vision: boolean } {
  const calls = devices.calls.slice(from);
  const rows = calls.flatMap((call) => /^run tokens\[(\d+)\]$/.exec(call)?.slice(1).map(Number) ?? []);
  return {
    prefill: rows.filter((n) => n > 1).reduce((sum, n) => sum + n, 0),
    steps: rows.filter((n) => n === 1).length,
    vision: calls.includes('run vision'),
  };
}

describe.each([false, true])('a chat, the device decodes: %s', (decode) => {
  beforeEach(() => {
    devices.decode = decode;
  });

  // What is drawn at random is seldom what its own text is encoded to.
  test.each([{}, { temperature: 2.5, seed: 11 }])('costs each turn its own tokens: %o', async (options) => {
    const model = await load();
    const chat = model.chat(first);
    const scene = await chat.scene;
    expect([scene.width, scene.height]).toEqual([30, 20]);
    const prefix = scene.geometry.width ** 2 / 64 + 6 + BEFORE;
    let known = prefix;
    for (const question of QUESTIONS) {
      const before = devices.calls.length;
      const answer = say(chat, question, options);
      await answer.text();
      const { promptTokens, completionTokens, cachedTokens } = answer.usage;
      expect(cachedTokens).toBe(known);
      expect(ran(before)).toMatchObject({ prefill: promptTokens - known, vision: false });
      // The last token was given out, and not run.
      known = promptTokens + completionTokens - 1;
    }
    expect(chat.turns.map(({ role }) => role)).toEqual(QUESTIONS.flatMap(() => ['user', 'assistant']));
    chat.dispose();
  });

  test('says the same when the cache was taken in between, and on a fresh model', async () => {
    const model = await load();
    const chat = model.chat(first);
    const texts = await talk(chat);
    expect(new Set(texts).size).toBeGreaterThan(1);
    const disturbed = model.chat(first);
    const scene = await disturbed.scene;
    const prefix = scene.geometry.width ** 2 / 64 + 6 + BEFORE;
    const again: string[] = [];
    for (const question of QUESTIONS) {
      await model.ask(second, QUESTIONS[0], { maxTokens: 2 }).text();
      const answer = say(disturbed, question);
      again.push(await answer.text());
      expect(answer.usage.cachedTokens).toBe(prefix);
    }
    expect(again).toEqual(texts);
    expect(await talk((await load()).chat(first))).toEqual(texts);
    // Two conversations in turns.
    const [a, b] = [model.chat(first), model.chat(second)];
    const mixed: string[] = [];
    for (const question of QUESTIONS) {
      mixed.push(await say(a, question).text());
      await say(b, question).text();
    }
    expect(mixed).toEqual(texts);
    for (const it of [chat, disturbed, a, b]) it.dispose();
  });

  test('leaves plain questions as they are', async () => {
    const model = await load();
    const scene = await model.look(first);
    const ask = () => scene.ask(QUESTIONS[0], { maxTokens: TOKENS });
    const alone = ask();
    const plain = await alone.text();
    const chat = model.chat(scene);
    expect((await talk(chat))[0]).toBe(plain);
    await say(chat, QUESTIONS[0]).text();
    const answer = ask();
    expect(await answer.text()).toBe(plain);
    // All of the question ran, though the cache held the beginning of it.
    expect(answer.usage).toEqual(alone.usage);
    chat.dispose();
    // It was begun on a scene of somebody else.
    expect(await ask().text()).toBe(plain);
    scene.dispose();
  });
});

describe('a chat', () => {
  test('on a GPU says the same whatever is in the cache', async () => {
    const gpu = await openTestGpu('lavapipe');
    devices = new FragileDevices(() =>
      createWebGpu(createTestHost({ gpu }), { precision: 'f32', variants: subgroup }),
    );
    seam.create = devices.create;
    const model = await load();
    const [chat, disturbed] = [model.chat(first), model.chat(first)];
    const texts: string[] = [];
    let known = 0;
    for (const question of QUESTIONS) {
      const answer = say(chat, question);
      texts.push(await answer.text());
      expect(answer.usage.cachedTokens).toBeGreaterThan(known);
      // All of this turn but what the device was not yet done with.
      known = answer.usage.promptTokens;
    }
    const again: string[] = [];
    for (const question of QUESTIONS) {
      await model.ask(second, 'What?', { maxTokens: 2 }).text();
      again.push(await say(disturbed, question).text());
    }
    expect(again).toEqual(texts);
  });

  test('keeps of a cancelled answer what came, and drops a question that failed', async () => {
    const model = await load();
    const chat = model.chat(first);
    const answer = say(chat, QUESTIONS[0], { maxTokens: 60 });
    let heard = '';
    for await (const piece of answer) {
      heard += piece;
      if (heard.length > 12) break;
    }
    await answer.text();
    const [, said] = chat.turns;
    expect(said.text.startsWith(heard)).toBe(true);
    expect(said.text).toBe(await answer.text());
    const failures: [string, AskOptions, string][] = [
      ['', {}, 'PROMPT_EMPTY'],
      ['x', { temperature: -1 }, 'OPTION_INVALID'],
      ['x', { signal: 3 as never }, 'OPTION_INVALID'],
      ['x', null as never, 'OPTION_INVALID'],
      ['x', { maxTokens: 1e6 }, 'CONTEXT_FULL'],
      ['word '.repeat(5000), {}, 'PROMPT_TOO_LONG'],
      [3 as never, {}, 'OPTION_INVALID'],
    ];
    for (const [text, options, code] of failures) {
      await expect(chat.ask(text, options).text(), code).rejects.toMatchObject({ code });
    }
    const silent = say(chat, 'And?');
    silent.cancel();
    await silent.text();
    await expect(say(chat, 'And?', { signal: AbortSignal.abort() }).text()).rejects.toMatchObject({
      code: 'ABORTED',
    });
    expect(chat.turns).toEqual([{ role: 'user', text: QUESTIONS[0] }, said]);
    // The same as for whoever had just these turns.
    const next = await say(chat, QUESTIONS[1]).text();
    await model.ask(second, 'What?', { maxTokens: 2 }).text();
    const messages = [...chat.turns.slice(0, 2), { role: 'user' as const, text: QUESTIONS[1] }];
    const prompt = messages.map(({ role, text }) => ({ role, content: text }));
    expect(await model.ask(first, prompt, { maxTokens: TOKENS }).text()).toBe(next);
  });

  test('ends looking at its picture when it is disposed of, waiting or at work', async () => {
    const model = await load();
    const forgotten = { code: 'IMAGE_INVALID', message: 'The chat was disposed of.' };
    const visions = () => devices.calls.filter((call) => call === 'run vision').length;
    const running = model.ask(first, QUESTIONS[0], { maxTokens: 20 });
    const waiting = model.chat(second);
    const answers = [say(waiting, 'x'), say(waiting, 'y')].map((answer) => answer.text());
    const ended = Promise.all(answers.map((answer) => expect(answer).rejects.toMatchObject(forgotten)));
    waiting.dispose();
    await ended;
    await expect(waiting.scene).rejects.toMatchObject({ code: 'ABORTED' });
    // Before its turn had come.
    expect(running.finishReason).toBeNull();
    await running.text();
    expect(visions()).toBe(1);
    const begun = model.chat(second);
    devices.onCall = (call) => {
      if (call === 'run vision') begun.dispose();
    };
    await expect(say(begun, 'x').text()).rejects.toMatchObject(forgotten);
    await expect(begun.scene).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(say(begun, 'x').text()).rejects.toMatchObject(forgotten);
    expect(visions()).toBe(2);
  });

  test('leaves looking at its picture to the next question when one is cancelled', async () => {
    const model = await load();
    const [text] = await talk(model.chat(first), QUESTIONS.slice(0, 1));
    const from = devices.calls.length;
    const chat = model.chat(first);
    const cancelled = say(chat, 'What?');
    cancelled.cancel();
    await cancelled.text();
    const aborted = say(chat, 'What?', { signal: AbortSignal.abort() }).text();
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await talk(chat, QUESTIONS.slice(0, 1))).toEqual([text]);
    expect(devices.calls.slice(from).filter((call) => call === 'run vision')).toHaveLength(1);
  });

  test('looks again at a picture that could not be looked at', async () => {
    const model = await load();
    const [text] = await talk(model.chat(first), QUESTIONS.slice(0, 1));
    const picture = { ...first, data: new Uint8Array(5) };
    const chat = model.chat(picture);
    const both = [say(chat, 'x'), say(chat, 'y')].map((answer) => answer.text());
    for (const answer of both) await expect(answer).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
    picture.data = first.data;
    expect(await talk(chat, QUESTIONS.slice(0, 1))).toEqual([text]);
    expect((await chat.scene).width).toBe(30);
    // What its owner ended stays so.
    const controller = new AbortController();
    const ended = model.chat(second, { signal: controller.signal });
    controller.abort();
    for (const question of ['x', 'y']) {
      await expect(say(ended, question).text()).rejects.toMatchObject({ code: 'ABORTED' });
    }
  });

  test('answers in order, also when questions come before the answers', async () => {
    const model = await load();
    const texts = await talk(model.chat(first));
    const chat = model.chat(first);
    const answers = QUESTIONS.map((question) => say(chat, question));
    const aside = say(chat, 'Never mind.');
    aside.cancel();
    const last = say(chat, 'And now?');
    expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(texts);
    await last.text();
    expect(chat.turns.filter(({ role }) => role === 'user').map(({ text }) => text)).toEqual([
      ...QUESTIONS,
      'And now?',
    ]);
  });

  test.each([false, true])('survives lost devices, the device decodes: %s', async (decode) => {
    devices.decode = decode;
    const model = await load();
    const texts = await talk(model.chat(first));
    const lostIn = new Set<string>();
    for (let number = 1; number < 44; number += 3) {
      // Three losses within a minute are too many: each model has one.
      const other = await load();
      const chat = other.chat(first);
      const begun = devices.calls.length;
      let at: string | null = null;
      devices.loses = (call, count) => {
        if (at !== null || count < begun + number) return null;
        at = call;
        return number % 2 ? 'before' : 'after';
      };
      expect(await talk(chat), String(at)).toEqual(texts);
      devices.loses = () => null;
      if (at) lostIn.add(at);
      chat.dispose();
      await other.dispose();
    }
    expect(lostIn.size).toBeGreaterThan(3);
  });

  test('goes on until the context is full, and stays usable', async () => {
    const model = await load({ context: 480 });
    const chat = model.chat(first);
    let turns = 0;
    for (; ; turns++) {
      const answer = chat.ask('And what else is there to see?', { maxTokens: 12 });
      const outcome: unknown = await answer.text().catch((error: unknown) => error);
      if (typeof outcome !== 'string') {
        expect(['CONTEXT_FULL', 'PROMPT_TOO_LONG']).toContain((outcome as { code: string }).code);
        break;
      }
      expect(turns).toBeLessThan(20);
    }
    expect(turns).toBeGreaterThan(2);
    expect(chat.turns).toHaveLength(2 * turns);
    const last = chat.ask('?', { maxTokens: 1 });
    await last.text();
    expect(last.usage.cachedTokens).toBeGreaterThan(200);
  });

  test('is cut at a stop string as it was shown', async () => {
    const model = await load();
    const [whole] = await talk(model.chat(first), QUESTIONS.slice(0, 1), { maxTokens: 20 });
    const stop = whole.slice(12, 15);
    const chat = model.chat(first);
    const [text] = await talk(chat, QUESTIONS.slice(0, 1), { maxTokens: 20, stop: [stop] });
    expect(whole.startsWith(text) && !text.includes(stop)).toBe(true);
    const next = await say(chat, QUESTIONS[1]).text();
    const prompt = [
      { role: 'user' as const, content: QUESTIONS[0] },
      { role: 'assistant' as const, content: text },
      { role: 'user' as const, content: QUESTIONS[1] },
    ];
    expect(await model.ask(first, prompt, { maxTokens: TOKENS }).text()).toBe(next);
  });

  test('says what is wrong with its picture, and that it was disposed of', async () => {
    const model = await load();
    const wrong = model.chat({ data: new Uint8Array(5), width: 2, height: 2 });
    await expect(say(wrong, 'x').text()).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
    await expect(say(wrong, 'x').text()).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
    const chat = model.chat(first);
    await say(chat, 'x').text();
    chat.dispose();
    chat.dispose();
    await expect(say(chat, 'x').text()).rejects.toMatchObject({
      code: 'IMAGE_INVALID',
      message: 'The chat was disposed of.',
    });
    const other = await load();
    await expect(say(other.chat(await model.look(first)), 'x').text()).rejects.toMatchObject({
      message: 'The scene belongs to another model.',
    });
    const running = say(model.chat(second), 'x', { maxTokens: 100 });
    const failed = expect(running.text()).rejects.toMatchObject({ code: 'MODEL_DISPOSED' });
    await model.dispose();
    await failed;
  });
});

describe('a conversation as a prompt', () => {
  const user = (content: string) => ({ role: 'user' as const, content });
  const assistant = (content: string) => ({ role: 'assistant' as const, content });
  const system = { role: 'system' as const, content: 'Answer in one word.' };

  test('of one question is that question', async () => {
    const model = await load();
    const plain = await model.ask(first, QUESTIONS[0], { maxTokens: TOKENS }).text();
    const image = { type: 'image' } as const;
    const text = { type: 'text', text: QUESTIONS[0] } as const;
    for (const content of [QUESTIONS[0], [text], [image, text]]) {
      const answer = model.ask(first, [{ role: 'user', content }], { maxTokens: TOKENS });
      expect(await answer.text()).toBe(plain);
      expect(answer.timings.vision).toBe(0);
    }
  });

  test('may begin otherwise: by the system, or with the picture in a later turn', async () => {
    const model = await load();
    const scene = await model.look(first);
    const picture = [{ type: 'image' } as const, { type: 'text', text: QUESTIONS[0] } as const];
    const prompts = [
      [system, user(QUESTIONS[0])],
      [user('Hello.'), assistant('Hello!'), { role: 'user' as const, content: picture }],
      [{ ...system, content: 'Be brief. '.repeat(34) }, user(QUESTIONS[0])],
    ];
    for (const prompt of prompts) {
      const ask = () => scene.ask(prompt, { maxTokens: TOKENS });
      const [one, two] = [ask(), ask()];
      expect(await two.text()).toBe(await one.text());
      expect(one.timings.vision).toBeGreaterThan(0);
      expect(two.timings.vision).toBe(0);
      expect(await model.ask(first, prompt, { maxTokens: TOKENS }).text()).toBe(await one.text());
    }
    scene.dispose();
    // Of the picture in the cache, and none beside it.
    expect(devices.snapshots.size).toBeLessThanOrEqual(1);
    const chat = model.chat(first, { system: system.content });
    const answer = say(chat, QUESTIONS[0]);
    expect(await answer.text()).toBe(await model.ask(first, prompts[0], { maxTokens: TOKENS }).text());
    expect(answer.timings.vision).toBe(0);
  });

  test.each<[unknown, string]>([
    [[], 'OPTION_INVALID'],
    [[assistant('x')], 'OPTION_INVALID'],
    [[user('x'), assistant('y')], 'OPTION_INVALID'],
    [[{ role: 'tool', content: 'x' }, user('x')], 'OPTION_INVALID'],
    [[null], 'OPTION_INVALID'],
    [[{ role: 'user' }], 'OPTION_INVALID'],
    [[{ role: 'user', content: [{ type: 'audio' }] }], 'OPTION_INVALID'],
    [
      [{ role: 'user', content: [{ type: 'image' }, { type: 'image' }, { type: 'text', text: 'x' }] }],
      'OPTION_INVALID',
    ],
    [[user('x'), assistant('y'), user(' ')], 'PROMPT_EMPTY'],
    [{ role: 'user', content: 'x' }, 'OPTION_INVALID'],
    [null, 'OPTION_INVALID'],
    [[user('x'.repeat(1_000_000))], 'PROMPT_TOO_LONG'],
  ])('is refused where it is none: %#', async (prompt, code) => {
    const model = await load();
    await expect(model.ask(first, prompt as never).text()).rejects.toMatchObject({ code });
  });
});
