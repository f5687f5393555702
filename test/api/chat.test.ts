/** Conversations: what is kept of the KV cache, and that nothing of it shows in the answers. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Chat } from '../../packages/core/src/api/chat.ts';
import { loadModel } from '../../packages/core/src/api/load.ts';
import type { Model } from '../../packages/core/src/api/model.ts';
import type { AskOptions, LoadOptions } from '../../packages/core/src/api/options.ts';
import type * as Backends from '../../packages/core/src/backends/index.ts';
import type * as Probe from '../../packages/core/src/backends/wasm/probe.ts';
import type { Host } from '../../packages/core/src/host.ts';
import { FragileDevices } from '../support/fragile.ts';
import { folderFiles, goldenFolder } from '../support/golden.ts';
import { createTestHost } from '../support/host.ts';

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

  test('costs each turn its own tokens', async () => {
    const model = await load();
    const chat = model.chat(first);
    const scene = await chat.scene;
    let before = devices.calls.length;
    const one = say(chat, QUESTIONS[0]);
    await one.text();
    expect(ran(before).vision).toBe(false);
    const prefix = one.usage.cachedTokens;
    expect(one.usage.promptTokens).toBe(prefix + ran(before).prefill);
    for (const question of QUESTIONS.slice(1)) {
      const turns = chat.turns.length;
      before = devices.calls.length;
      const answer = say(chat, question);
      await answer.text();
      const { prefill, vision } = ran(before);
      expect(vision).toBe(false);
      // The last token of the answer before was not in the cache; the rest of the prompt was.
      expect(answer.usage.cachedTokens).toBe(answer.usage.promptTokens - prefill);
      expect(prefill).toBeLessThan(40);
      expect(answer.usage.cachedTokens).toBeGreaterThan(prefix + turns * TOKENS);
    }
    expect(chat.turns.map(({ role }) => role)).toEqual(QUESTIONS.flatMap(() => ['user', 'assistant']));
    expect([scene.width, scene.height]).toEqual([30, 20]);
    chat.dispose();
  });

  test('says the same when the cache was taken in between, and on a fresh model', async () => {
    const model = await load();
    const chat = model.chat(first);
    const texts = await talk(chat);
    expect(new Set(texts).size).toBeGreaterThan(1);
    const disturbed = model.chat(first);
    const again: string[] = [];
    for (const question of QUESTIONS) {
      await model.ask(second, 'What?', { maxTokens: 2 }).text();
      const answer = say(disturbed, question);
      again.push(await answer.text());
      expect(answer.usage.promptTokens - answer.usage.cachedTokens).toBeGreaterThan(10);
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
