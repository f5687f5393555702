/** Hundreds of questions, loads, aborts and lost devices: memory stays flat, and the answers what they were. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { loadModel } from '../../packages/core/src/api/load.ts';
import type { Model } from '../../packages/core/src/api/model.ts';
import type { LoadOptions } from '../../packages/core/src/api/options.ts';
import type { Backend, BackendMemory } from '../../packages/core/src/backend/index.ts';
import type * as Backends from '../../packages/core/src/backends/index.ts';
import { createWebGpu, type WebGpuBackend } from '../../packages/core/src/backends/webgpu/index.ts';
import { AbortedError } from '../../packages/core/src/errors/index.ts';
import type { Host } from '../../packages/core/src/host.ts';
import { FragileDevices } from '../support/fragile.ts';
import { folderFiles, goldenFolder } from '../support/golden.ts';
import { openTestGpu } from '../support/gpu.ts';
import { createTestHost, type TestHostOptions } from '../support/host.ts';
import { Random } from '../support/random.ts';
import { workgroup } from '../support/variants.ts';

interface Subject {
  readonly name: string;
  readonly options: LoadOptions;
  readonly host: () => Promise<TestHostOptions>;
  readonly devices: () => FragileDevices;
  /** Starts the backend; core's own choice without it. */
  readonly create?: (host: Host, options: Backends.BackendOptions) => Promise<Backend>;
  /** Loses the newest device for real; without it the loss is made up. */
  readonly lose?: () => void;
  readonly counts: { asks: number; loads: number; aborts: number; losses: number };
}

/** `npm run soak` does it at full length. */
const full = process.env.LLAVA_SP_SOAK !== undefined;
const all = { asks: 500, loads: 50, aborts: 50, losses: 20 };
let newest: WebGpuBackend;

/** A backend is another entry here. */
const subjects: Subject[] = [
  {
    name: 'wasm',
    options: { device: 'wasm', threads: 1 },
    host: async () => ({}),
    devices: () => new FragileDevices(),
    counts: full ? all : { ...all, loads: 12 },
  },
  {
    // These kernels compile fastest on a driver that computes on the CPU; its GPU memory is the process's own.
    name: 'webgpu',
    options: { device: 'webgpu' },
    host: async () => ({ gpu: await openTestGpu('lavapipe') }),
    create: startWebGpu,
    devices: () => new FragileDevices(startWebGpu),
    lose: () => newest.open.device.destroy(),
    counts: full ? all : { asks: 24, loads: 4, aborts: 6, losses: 3 },
  },
];

async function startWebGpu(host: Host, options: Backends.BackendOptions): Promise<WebGpuBackend> {
  return (newest = await createWebGpu(host, { ...options, precision: 'f32', variants: workgroup }));
}

const seam = vi.hoisted(() => ({ create: null as typeof Backends.createBackend | null }));
vi.mock('../../packages/core/src/backends/index.ts', async (original) => {
  const backends = await original<typeof Backends>();
  const createBackend: typeof Backends.createBackend = (...args) =>
    (seam.create ?? backends.createBackend)(...args);
  return { ...backends, createBackend };
});

/** Milliseconds for one test, on a machine that is busy with others. */
const LIMIT = full ? 3_600_000 : 300_000;
const SEED = 5;
const QUESTIONS = ['What is in the picture?', 'Where?', 'How many red things are there, and where are they?'];
const TOKENS = 12;
/** Bytes that the process may grow by in a round. A load that nobody disposes of takes 28 MB, and a round has several. */
const SLACK = 48 << 20;
/** The allocator keeps tens of MB once, in the one round or the other; a leak takes its share of every round. */
const ROUNDS = 3;

const pictures = [37, 41, 59].map((step) => ({
  data: Uint8Array.from({ length: 40 * 30 * 3 }, (_, i) => (i * step) % 251),
  width: 40,
  height: 30,
}));

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Resident bytes, when nothing is left to collect. */
async function resident(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect();
    // Finalisers, and threads that end, need a turn.
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return process.memoryUsage().rss;
}

/** Memory stays flat over a round: over one of `ROUNDS` that follow each other, where the first ones grew. */
async function expectFlat(name: string, round: () => Promise<void>): Promise<void> {
  const grown: number[] = [];
  do {
    const before = await resident();
    await round();
    grown.push((await resident()) - before);
  } while (grown.length < ROUNDS && grown[grown.length - 1] >= SLACK);
  console.log(`${name}: ${grown.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(', ')} MiB`);
  expect(Math.min(...grown)).toBeLessThan(SLACK);
}

afterEach(() => {
  seam.create = null;
  vi.restoreAllMocks();
});

/** One question on one of the pictures; pictures take turns. */
async function ask(model: Model, i: number, signal?: AbortSignal): Promise<string> {
  const question = QUESTIONS[i % QUESTIONS.length];
  return model.ask(pictures[(i >> 1) % pictures.length], question, { maxTokens: TOKENS, signal }).text();
}

/** The same bytes, but for readbacks that were under way: a few buffers of one token each take turns. */
function expectSame(memory: BackendMemory, before: BackendMemory): void {
  const { weights, cache, scratch } = memory;
  expect({ weights, cache }).toEqual({ weights: before.weights, cache: before.cache });
  expect(Math.abs(scratch - before.scratch)).toBeLessThanOrEqual(8 * 16);
}

describe.each(subjects)('$name', { timeout: LIMIT }, ({ options, host, create, devices, lose, counts }) => {
  beforeEach(() => {
    if (!create) return;
    seam.create = async (own, _device, given) => ({
      backend: await create(own, given),
      refusals: [],
      warnings: [],
    });
  });

  const load = async (): Promise<Model> => {
    const own: Host = {
      ...createTestHost(await host()),
      openModel: () => Promise.resolve(folderFiles(goldenFolder('cropping'))),
    };
    return loadModel(own, 'model', options);
  };
  const turns = Math.max(QUESTIONS.length, 2 * pictures.length);
  const answersOf = async (model: Model): Promise<string[]> => {
    const answers: string[] = [];
    for (let i = 0; i < turns; i++) answers.push(await ask(model, i));
    return answers;
  };

  test(`${counts.asks} questions`, async () => {
    const model = await load();
    const answers = await answersOf(model);
    for (let i = 0; i < Math.min(50, counts.asks); i++) await ask(model, i);
    const before = await model.memory();
    await expectFlat(`${counts.asks} questions`, async () => {
      for (let i = 0; i < counts.asks; i++) expect(await ask(model, i)).toBe(answers[i % turns]);
    });
    expectSame(await model.memory(), before);
    await model.dispose();
  });

  test(`${counts.loads} loads`, async () => {
    const cycle = async (): Promise<string> => {
      const model = await load();
      const text = await ask(model, 0);
      await model.dispose();
      return text;
    };
    const text = await cycle();
    for (let i = 0; i < 6; i++) await cycle();
    await expectFlat(`${counts.loads} loads`, async () => {
      for (let i = 0; i < counts.loads; i++) expect(await cycle()).toBe(text);
    });
  });

  test(`${counts.aborts} aborts (seed ${SEED})`, async () => {
    const model = await load();
    const answers = await answersOf(model);
    const start = performance.now();
    await answersOf(model);
    const typical = (performance.now() - start) / turns;
    const before = await model.memory();
    const random = new Random(SEED);
    let aborted = 0;
    for (let i = 0; i < counts.aborts; i++) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), random.uniform() * typical);
      // Not the picture that the cache holds: vision is part of it.
      const outcome = await ask(model, 2 * i, controller.signal).catch((error: unknown) => error);
      if (outcome instanceof AbortedError) aborted++;
      else expect(outcome).toBe(answers[(2 * i) % turns]);
      expect(await ask(model, i)).toBe(answers[i % turns]);
    }
    // Some answers are done before their abort comes, on a machine that got faster.
    expect(aborted).toBeGreaterThan(counts.aborts / 4);
    expectSame(await model.memory(), before);
    await model.dispose();
  });

  test(`${counts.losses} lost devices (seed ${SEED})`, async () => {
    const fragile = devices();
    seam.create = fragile.create;
    // A minute may have no more than two losses: the clock goes on by one each time.
    const now = performance.now.bind(performance);
    let ahead = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => now() + ahead);
    const model = await load();
    const answers = await answersOf(model);
    const quiet = fragile.calls.length;
    await answersOf(model);
    const calls = fragile.calls.length - quiet;
    const before = await model.memory();
    const random = new Random(SEED);
    for (let i = 0; i < counts.losses; i++) {
      ahead += 61_000;
      const at = fragile.calls.length + 1 + Math.floor(random.uniform() * calls);
      const moment = random.uniform() < 0.5 ? 'before' : 'after';
      if (lose) fragile.onCall = (_call, number) => void (number === at && lose());
      else fragile.loses = (_call, number) => (number === at ? moment : null);
      expect(await answersOf(model), `lost ${moment} call ${at}`).toEqual(answers);
    }
    // A loss in the last call of all is found by the next.
    expect(await answersOf(model)).toEqual(answers);
    expect(fragile.starts).toHaveLength(1 + counts.losses);
    expect(fragile.alive).toBe(1);
    expectSame(await model.memory(), before);
    await model.dispose();
    expect(fragile.alive).toBe(0);
  });
});
