/**
 * The demo model answers on WebGPU as on WASM, greedily. The two differ by rounding (WASM rounds activations to int8), so
 * a token may be another where two are as good as equally likely: each answer that differs is reported with WASM's logit
 * gap between the two tokens at that place, and a gap above TIE is an error.
 *
 * A question of each committed scene, then other ones; few of them by default. More:
 * LLAVA_SP_SCENES=200 npx vitest run test/runtime/webgpu_demo.test.ts; LLAVA_SP_SET names another folder of scenes,
 * LLAVA_SP_GPU another driver.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { loadModel } from '../../packages/core/src/api/load.ts';
import type { Model } from '../../packages/core/src/api/model.ts';
import type { Backend } from '../../packages/core/src/backend/index.ts';
import type * as Backends from '../../packages/core/src/backends/index.ts';
import type { Host } from '../../packages/core/src/host.ts';
import { nodeHost } from '../../packages/node/src/host.ts';
import { demoSet, questionsByPicture, type DemoQuestion } from '../support/demo_set.ts';
import { argmax } from '../support/golden_model.ts';
import { openTestGpu, type TestGpu } from '../support/gpu.ts';
import { createTestHost } from '../support/host.ts';
import { KERNELS, NEAR_TIE } from '../support/near_tie.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const scenes = Number(process.env.LLAVA_SP_SCENES ?? 8);
const folder = process.env.LLAVA_SP_SET ?? demoSet;
const driver = (process.env.LLAVA_SP_GPU ?? 'swiftshader') as TestGpu;
/** Logits. Of 120 answers eight differed, six in a coordinate, with gaps of 0.002 to 0.076. */
const TIE = Math.log(NEAR_TIE);
const TIMEOUT = 60_000 + 60_000 * scenes;

/** Of the Node adapter: files and images; its threads want a build. */
const files: Pick<Host, 'openModel' | 'readImage' | 'decodeImage'> = {
  openModel: (source) => nodeHost.openModel(source),
  readImage: (source, signal) => nodeHost.readImage(source, signal),
  decodeImage: (bytes, signal) => nodeHost.decodeImage(bytes, signal),
};

/** What the backends said in the answer under way: WASM its logits, WebGPU its tokens. */
const heard: { logits: Float32Array[]; tokens: number[] } = { logits: [], tokens: [] };

vi.mock('../../packages/core/src/backends/index.ts', async (original) => {
  const backends = await original<typeof Backends>();
  const createBackend: typeof Backends.createBackend = async (...args) => {
    const started = await backends.createBackend(...args);
    listen(started.backend);
    return started;
  };
  return { ...backends, createBackend };
});

function listen(backend: Backend): void {
  const run = backend.run.bind(backend);
  backend.run = async (executable, options) => {
    const outputs = await run(executable, options);
    if (executable.program.name.startsWith('tokens')) heard.logits.push(outputs[0].slice());
    return outputs;
  };
  const decode = backend.decode?.bind(backend);
  if (!decode) return;
  backend.decode = async function* (options) {
    for await (const id of decode(options)) {
      heard.tokens.push(id);
      yield id;
    }
  };
}

interface Said {
  readonly text: string;
  readonly logits: readonly Float32Array[];
  readonly tokens: readonly number[];
  readonly ms: number;
}

async function ask(model: Model, { image, prompt }: DemoQuestion): Promise<Said> {
  heard.logits = [];
  heard.tokens = [];
  const answer = model.ask(image, prompt);
  const text = await answer.text();
  return { text, logits: heard.logits, tokens: heard.tokens, ms: answer.timings.total };
}

/** Where WebGPU chose another token than WASM, and by how much WASM liked its own better. */
function firstDifference(wasm: Said, webgpu: Said): { at: number; gap: number } {
  const at = wasm.logits.findIndex((row, i) => argmax(row) !== webgpu.tokens[i]);
  const row = wasm.logits[at];
  return { at, gap: row[argmax(row)] - row[webgpu.tokens[at]] };
}

let rows: DemoQuestion[];
const models: Partial<Record<'wasm' | 'webgpu', Model>> = {};

beforeAll(async () => {
  const pictures = await questionsByPicture(folder);
  // First a question of each scene, another kind for each; then the next, of the scenes that have one.
  const turns = pictures.flatMap((own, i) =>
    own.map((_, turn) => ({ turn, question: own[(turn + i) % own.length] })),
  );
  const chosen = turns.sort((a, b) => a.turn - b.turn).slice(0, scenes);
  // Questions on one scene follow each other: they share its encoding.
  rows = pictures.flat().filter((one) => chosen.some(({ question }) => question === one));
  const gpu = await openTestGpu(driver);
  const host: Host = { ...createTestHost({ gpu }), ...files };
  const model = join(root, 'packages/demo-model/model');
  models.wasm = await loadModel(host, model, { device: 'wasm', kernels: KERNELS });
  models.webgpu = await loadModel(host, model, { device: 'webgpu' });
}, TIMEOUT);

afterAll(async () => {
  await models.wasm?.dispose();
  await models.webgpu?.dispose();
});

test(`${scenes} questions on scenes are answered as by WASM`, { timeout: TIMEOUT }, async () => {
  const { wasm, webgpu } = models;
  if (!wasm || !webgpu) throw new Error('no models');
  expect(new Set(rows.map(({ id }) => id)).size).toBe(scenes);
  const times: Record<'wasm' | 'webgpu', number[]> = { wasm: [], webgpu: [] };
  const differing: string[] = [];
  const gaps: number[] = [];
  for (const [i, row] of rows.entries()) {
    const [want, got] = [await ask(wasm, row), await ask(webgpu, row)];
    if (row.image !== rows[i - 1]?.image) {
      times.wasm.push(want.ms);
      times.webgpu.push(got.ms);
    }
    if (got.text === want.text) continue;
    const { at, gap } = firstDifference(want, got);
    gaps.push(gap);
    differing.push(
      `${row.id} ${row.prompt}: WASM "${want.text}", WebGPU "${got.text}"; token ${at}, gap ${gap.toFixed(3)}`,
    );
  }
  const median = (all: number[]): number => all.toSorted((a, b) => a - b)[all.length >> 1];
  const [cpu, gpu] = [median(times.wasm), median(times.webgpu)];
  console.log(
    `${driver}: ${differing.length} of ${scenes} answers differ; median time to answer on a new scene ` +
      `${gpu.toFixed(0)} ms, WASM ${cpu.toFixed(0)} ms (${(gpu / cpu).toFixed(1)} x)\n${differing.join('\n')}`,
  );
  expect(Math.max(0, ...gaps), differing.join('\n')).toBeLessThan(TIE);
  // Coordinates share their mass with their neighbours in training, so boxes tie now and then.
  expect(differing.length).toBeLessThanOrEqual(Math.max(2, scenes / 10));
});
