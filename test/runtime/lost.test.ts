/**
 * Lost devices, by backends that lose theirs at a chosen call: whatever was under way ends with the text of an undisturbed
 * run, on the device that took its place.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { loadModel } from '../../packages/core/src/api/load.ts';
import type { Model } from '../../packages/core/src/api/model.ts';
import type { AskOptions, LoadOptions } from '../../packages/core/src/api/options.ts';
import type { Warning } from '../../packages/core/src/backend/index.ts';
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
// The backend is started some two hundred times here: its kernels are tested and timed once.
vi.mock('../../packages/core/src/backends/wasm/probe.ts', async (original) => {
  const { probe } = await original<typeof Probe>();
  let result: ReturnType<typeof probe> | null = null;
  return { probe: (...args: Parameters<typeof probe>) => (result ??= probe(...args)) };
});

const host: Host = {
  ...createTestHost(),
  openModel: () => Promise.resolve(folderFiles(goldenFolder('cropping'))),
};
const QUESTION = 'What is in the picture?';
const TOKENS = 6;
const [first, second] = [40, 90].map((shade) => ({
  data: Uint8Array.from({ length: 30 * 20 * 3 }, (_, i) => (i * shade) % 251),
  width: 30,
  height: 20,
}));

const now = performance.now.bind(performance);
let devices: FragileDevices;
let model: Model | null;
/** Milliseconds that the clock is ahead: a minute is not waited for. */
let ahead: number;

beforeEach(() => {
  devices = new FragileDevices();
  seam.create = devices.create;
  model = null;
  ahead = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => now() + ahead);
});

afterEach(async () => {
  await model?.dispose().finally(() => vi.restoreAllMocks());
  expect({ alive: devices.alive, decoding: devices.decoding }).toEqual({ alive: 0, decoding: 0 });
});

async function load(options: LoadOptions = {}): Promise<Model> {
  return (model = await loadModel(host, 'model', options));
}

/** Loses the device once, at the `number`-th call from now on; says later at which call it was, if any. */
function loseAt(number: number, moment: 'before' | 'after'): () => string | null {
  const begun = devices.calls.length;
  let at: string | null = null;
  devices.loses = (call, count) => {
    if (at !== null || count < begun + number) return null;
    at = call;
    return moment;
  };
  return () => at;
}

/** The same at the next call of this name, `skip` of them passed over. */
function loseIn(name: string, skip = 0): void {
  let left = skip + 1;
  devices.loses = (call) => (call.startsWith(name) && --left === 0 ? 'before' : null);
}

/** Two pictures that take turns in the cache; what was said of each. */
async function talk(options: AskOptions): Promise<string[]> {
  if (!model) throw new Error('no model');
  const [a, b] = [await model.look(first), await model.look(second)];
  try {
    const texts: string[] = [];
    for (const scene of [a, b, a])
      texts.push(await scene.ask(QUESTION, { maxTokens: TOKENS, ...options }).text());
    return texts;
  } finally {
    a.dispose();
    b.dispose();
  }
}

const ask = (options: AskOptions = {}) => {
  if (!model) throw new Error('no model');
  return model.ask(first, QUESTION, { maxTokens: TOKENS, ...options });
};

const seeded = { temperature: 2, seed: 3, topP: 0.95, repetitionPenalty: 1.1 };
/** Who decodes, how, and which calls are lost: every one, or every third. */
const ways: [string, boolean, AskOptions, number][] = [
  ['the host decodes, greedy', false, {}, 1],
  ['the device decodes, greedy', true, {}, 1],
  ['the host decodes, with a seed', false, seeded, 3],
  ['the device decodes, with a seed', true, seeded, 3],
  ['under a format, with a seed', true, { ...seeded, format: { regex: '[a-z .]{4,90}' } }, 4],
];

describe.each(ways)('%s', (_what, decode, options, step) => {
  test('a loss at any call of a run leaves its texts as they were', async () => {
    devices.decode = decode;
    await load();
    const texts = await talk(options);
    expect(new Set(texts).size).toBe(2);
    const lostIn = new Set<string>();
    let number = 1;
    for (; number < 200; number += step) {
      ahead += 61_000;
      const warned = model?.info.warnings.length ?? 0;
      const moment = number % 2 ? 'before' : 'after';
      const at = loseAt(number, moment);
      expect(await talk(options), `lost ${moment} ${at()}, call ${number}`).toEqual(texts);
      const call = at();
      if (call === null) break;
      // What was lost when all had been said is found by the next question.
      await ask({ maxTokens: 1 }).text();
      lostIn.add(call.replace(/\[.*/, ''));
      const { warnings, backend } = model?.info ?? {};
      expect(warnings?.slice(warned)).toEqual([
        {
          code: 'DEVICE_RECOVERED',
          message: `The device was lost in ${call}. The model was loaded again on ${backend?.name}.`,
        },
      ]);
      expect(backend?.name).toBe(`fragile ${devices.starts.length}`);
      expect({ alive: devices.alive, kept: devices.snapshots.size }).toEqual({ alive: 1, kept: 0 });
    }
    expect(number).toBeGreaterThan(25);
    if (step > 1) return;
    const calls = ['run vision', 'run prefix', 'run tokens', 'saveCache', 'restoreCache'];
    expect([...lostIn].sort()).toEqual([...calls, ...(decode ? ['end of decode'] : [])].sort());
  });
});

describe('a loss', () => {
  test('while the model is loaded starts another device, with one warning', async () => {
    for (const call of ['create', 'reserve', 'loadWeight', 'createCache', 'compile']) {
      loseIn(call, call === 'loadWeight' ? 40 : 0);
      const onWarning = vi.fn();
      await load({ onWarning });
      expect(onWarning).toHaveBeenCalledOnce();
      expect(model?.info.warnings).toMatchObject([{ code: 'DEVICE_RECOVERED' }]);
      expect(await ask().text()).not.toBe('');
      await model?.dispose();
      expect(devices.alive).toBe(0);
    }
  });

  test('in the recovery from another one starts it once more', async () => {
    await load();
    const texts = await talk({});
    const recovery = [
      'create',
      'reserve',
      'loadWeight',
      'createCache',
      'compile',
      'run vision',
      'run prefix',
    ];
    for (const call of [...recovery, 'run tokens[18]', 'run tokens[1]']) {
      ahead += 61_000;
      let lost = 0;
      // First in the third token of an answer; then in what follows.
      devices.loses = (name) => {
        const fits =
          lost === 0 ? devices.calls.slice(-3).every((n) => n === 'run tokens[1]') : name.startsWith(call);
        if (lost === 2 || !fits) return null;
        lost++;
        return 'after';
      };
      expect(await talk({}), call).toEqual(texts);
      expect(lost).toBe(2);
    }
  });

  test('in idleness is found by the next question', async () => {
    await load();
    const scene = await model?.look(first);
    const text = await scene?.ask(QUESTION, { maxTokens: TOKENS }).text();
    devices.loseIdle();
    expect(await model?.memory()).toEqual({ weights: 0, cache: 0, scratch: 0, total: 0 });
    expect(await scene?.ask(QUESTION, { maxTokens: TOKENS }).text()).toBe(text);
    expect((await model?.memory())?.weights).toBeGreaterThan(0);
    devices.loseIdle();
    expect(await ask().text()).toBe(text);
  });

  test('goes on with a stream from where it was, on a device of another kind too', async () => {
    const options = { temperature: 2, seed: 5 };
    devices.decode = true;
    await load();
    const text = await ask(options).text();
    // No token out of two devices: one decodes by itself, the other doesn't.
    for (const decode of [false, true]) {
      devices.decode = decode;
      const answer = ask(options);
      const pieces: string[] = [];
      for await (const piece of answer) {
        pieces.push(piece);
        if (pieces.length === 2) devices.loseIdle();
      }
      expect(pieces.length).toBeGreaterThan(2);
      expect(pieces.join('')).toBe(text);
      expect(answer.usage.completionTokens).toBe(TOKENS);
    }
    expect(devices.starts).toHaveLength(3);
    // The last one was asked for what the others had left.
    expect(devices.decodings.at(-1)?.count).toBe(TOKENS);
  });

  test('three times within a minute is an error; a minute later the model works again', async () => {
    await load();
    const scene = await model?.look(first);
    const talked = () => scene?.ask(QUESTION, { maxTokens: TOKENS }).text();
    const text = await talked();
    devices.loses = (call) => (call.startsWith('run tokens') ? 'before' : null);
    await expect(talked()).rejects.toMatchObject({
      name: 'DeviceError',
      code: 'DEVICE_LOST',
      message: expect.stringMatching(/lost 3 times within a minute.*in run tokens/) as string,
      fix: expect.stringMatching(/"wasm".*a minute later/) as string,
    });
    expect(devices.starts).toHaveLength(3);
    expect(devices.alive).toBe(0);
    devices.loses = () => null;
    await expect(talked()).rejects.toMatchObject({ code: 'DEVICE_LOST' });
    await expect(model?.look(second)).rejects.toMatchObject({ code: 'DEVICE_LOST' });
    expect(devices.starts).toHaveLength(3);
    ahead += 60_000;
    expect(await talked()).toBe(text);
    expect(devices.starts).toHaveLength(4);
  });

  test('three times while loading fails the load', async () => {
    devices.loses = (call) => (call === 'createCache' ? 'after' : null);
    await expect(load()).rejects.toMatchObject({ code: 'DEVICE_LOST' });
    expect(devices.starts).toHaveLength(3);
  });

  test('that cannot be mended says why, and the next question tries again', async () => {
    let present = true;
    const files = folderFiles(goldenFolder('cropping'));
    const openModel: Host['openModel'] = async () => ({
      ...files,
      has: (name) => (present ? files.has(name) : Promise.resolve(false)),
    });
    model = await loadModel({ ...host, openModel }, 'model');
    const text = await ask().text();
    present = false;
    devices.loseIdle();
    await expect(ask().text()).rejects.toMatchObject({
      code: 'DEVICE_LOST',
      message: expect.stringMatching(/could not be loaded again: .*has neither/) as string,
      cause: { code: 'MODEL_FILE_MISSING' },
    });
    expect(devices.alive).toBe(0);
    present = true;
    expect(await ask().text()).toBe(text);
  });
});

describe('in a recovery', () => {
  const moments = ['create', 'reserve', 'loadWeight', 'createCache', 'compile', 'run vision', 'run tokens'];

  test.each(moments)('an abort in %s leaves nothing behind, and a model that works', async (moment) => {
    await load();
    const text = await ask().text();
    const controller = new AbortController();
    devices.loseIdle();
    devices.onCall = (call) => call.startsWith(moment) && controller.abort();
    await expect(ask({ signal: controller.signal }).text()).rejects.toMatchObject({ code: 'ABORTED' });
    // A device that was there before the abort may serve the next question.
    expect(devices.alive).toBe(moment.startsWith('run') ? 1 : 0);
    devices.onCall = () => undefined;
    expect(await ask().text()).toBe(text);
  });

  test.each(moments)('dispose in %s ends the work and frees all', async (moment) => {
    const mine = await load();
    await ask().text();
    devices.loseIdle();
    let disposed: Promise<void> | null = null;
    devices.onCall = (call) => {
      if (call.startsWith(moment)) disposed ??= mine.dispose();
    };
    await expect(ask().text()).rejects.toMatchObject({ code: 'MODEL_DISPOSED' });
    await (disposed as Promise<void> | null);
    expect(disposed).not.toBe(null);
    expect(devices.alive).toBe(0);
    await expect(ask().text()).rejects.toMatchObject({ code: 'MODEL_DISPOSED' });
  });
});

describe('options', () => {
  test("the caller's device and the precision reach the backend; after a loss it has a device of its own", async () => {
    const gpu = { createBuffer: () => undefined, queue: {} } as unknown as GPUDevice;
    await load({ gpu, precision: 'f32' });
    devices.loseIdle();
    await ask().text();
    expect(devices.starts.map(({ device, options }) => ({ device, ...options }))).toMatchObject([
      { device: 'webgpu', gpu, precision: 'f32' },
      { device: 'webgpu', gpu: undefined, precision: 'f32' },
    ]);
  });

  test('warnings come once and stay; a listener that fails fails nothing', async () => {
    const fallback: Warning = { code: 'BACKEND_FALLBACK', message: 'f32 is used: f16 failed its self-test' };
    devices.warnings = [fallback];
    const heard: string[] = [];
    await load({
      onWarning: ({ code }) => {
        heard.push(code);
        throw new Error('not my day');
      },
    });
    devices.loseIdle();
    expect(await ask().text()).not.toBe('');
    expect(heard).toEqual(['BACKEND_FALLBACK', 'DEVICE_RECOVERED']);
    expect(model?.info.warnings.map(({ code }) => code)).toEqual(heard);
    await model?.dispose();

    const late = vi.fn(async () => Promise.reject(new Error('nor mine')));
    await load({ onWarning: late as unknown as LoadOptions['onWarning'] });
    expect(late).toHaveBeenCalledOnce();
  });

  test('progress of a load rises through every phase, programs one by one', async () => {
    const seen: [string, number][] = [];
    await load({ onProgress: ({ phase, fraction }) => seen.push([phase, fraction]) });
    const fractions = seen.map(([, fraction]) => fraction);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    expect([...new Set(seen.map(([phase]) => phase))]).toEqual([
      'files',
      'device',
      'weights',
      'compile',
      'ready',
    ]);
    expect(seen.filter(([phase]) => phase === 'compile')).toHaveLength(4);
    const count = seen.length;
    devices.loseIdle();
    await ask().text();
    expect(seen).toHaveLength(count);
  });
});
