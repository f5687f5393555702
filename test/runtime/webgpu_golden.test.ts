/**
 * The golden models on WebGPU, stage by stage against Hugging Face transformers and the transcription of the
 * specification: f32 within 1e-4 of the largest value of each stage, f16 within 5e-3. The tokens of a greedy answer are
 * the golden's own, whether the host takes them from logits or the device decodes by itself.
 */
import { describe, expect, test } from 'vitest';
import type { Sampling } from '../../packages/core/src/backend/index.ts';
import {
  createWebGpu,
  type WebGpuBackend,
  type WebGpuOptions,
} from '../../packages/core/src/backends/webgpu/index.ts';
import type { Compiled } from '../../packages/core/src/backends/webgpu/compiled.ts';
import { tokensProgram } from '../../packages/core/src/pipeline/programs.ts';
import { readGolden } from '../support/golden.ts';
import {
  argmax,
  loadGolden,
  runPrefix,
  runSteps,
  runVision,
  stageOf,
  visionPairs,
  type GoldenModel,
} from '../support/golden_model.ts';
import { openTestGpu, type TestGpu } from '../support/gpu.ts';
import { createTestHost } from '../support/host.ts';
import { difference } from '../support/tolerance.ts';
import { free, halves, subgroup, workgroup } from '../support/variants.ts';

const GREEDY: Sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

interface Setup {
  readonly gpu: TestGpu;
  readonly kernels: string;
  /** Of the largest value of a stage. */
  readonly limit: number;
  readonly options: WebGpuOptions;
}

const f32 = { precision: 'f32', poison: true } as const;
/** A row of the widest covering kernel needs 18 KiB in f32. */
const SMALL = 20 << 10;
const setups: Setup[] = [
  { gpu: 'swiftshader', kernels: 'barrier-free', limit: 1e-4, options: { ...f32, variants: free } },
  { gpu: 'lavapipe', kernels: 'workgroup', limit: 1e-4, options: { ...f32, variants: workgroup } },
  { gpu: 'lavapipe', kernels: 'subgroup', limit: 1e-4, options: { ...f32, variants: subgroup } },
  {
    gpu: 'lavapipe',
    kernels: 'f16',
    limit: 5e-3,
    options: { precision: 'f16', poison: true, variants: halves },
  },
  {
    gpu: 'lavapipe',
    kernels: `subgroup, ${SMALL >> 10} KiB a binding`,
    limit: 1e-4,
    options: { ...f32, variants: subgroup, maxBinding: SMALL },
  },
];

describe.each(setups)('$gpu, $kernels', { timeout: 240_000 }, ({ gpu, limit, options }) => {
  test.each(['cropping', 'pooling', 'plain', 'cropping-q4'])('%s', async (name) => {
    const model: GoldenModel = { name, ...(await readGolden(name)) };
    const { golden, config, stages } = model;
    const backend = await createWebGpu(createTestHost({ gpu: await openTestGpu(gpu) }), options);
    try {
      await loadGolden(backend, model);
      let largest = 0;
      const close = (what: string, got: Float32Array, want: Float32Array): void => {
        const error = difference(got, want).largest;
        largest = Math.max(largest, error);
        expect(error, `${what}: largest error relative to the largest value`).toBeLessThan(limit);
      };
      const pairs = visionPairs(model, await runVision(backend, model));
      for (const { what, got, want } of pairs) close(what, got, want);
      expect(pairs.length).toBeGreaterThanOrEqual(config.spatial ? 8 : 5);

      const after = await runPrefix(backend, model);
      const { vocab } = config.text;
      const truth = stageOf(stages, 'logits');
      const rows = await runSteps(backend, model, after, golden.greedy_tokens.length);
      rows.forEach((row, i) => close(`logits ${i}`, row, truth.subarray(i * vocab, (i + 1) * vocab)));
      expect(rows.map(argmax)).toEqual(golden.greedy_tokens);
      console.log(`${gpu} ${name}: largest error ${largest.toExponential(1)}`);

      expect(await decoded(backend, model, after)).toEqual(golden.greedy_tokens);
      if (options.maxBinding) await expectTiles(backend, model);
    } finally {
      await backend.dispose();
    }
  });
});

/** The tokens that the device takes by itself. */
async function decoded(
  backend: WebGpuBackend,
  { golden, config }: GoldenModel,
  { ids, pos }: { ids: Uint32Array; pos: number },
): Promise<number[]> {
  const prompt = await backend.compile(tokensProgram(config, ids.length));
  const step = await backend.compile(tokensProgram(config, 1));
  const count = golden.greedy_tokens.length;
  const draw = (): number => {
    throw new Error('a greedy answer draws no lots');
  };
  const tokens: number[] = [];
  const options = { prompt, ids, pos, step, known: [], count, sampling: GREEDY, draw };
  for await (const id of backend.decode(options)) tokens.push(id);
  return tokens;
}

/** Embedding and head don't fit into one binding: each takes a dispatch a tile. */
async function expectTiles(backend: WebGpuBackend, { config }: GoldenModel): Promise<void> {
  const { parts } = (await backend.compile(tokensProgram(config, 1))) as Compiled;
  const { dispatches } = parts.lowered;
  expect(dispatches.filter(({ kernel }) => kernel === 'embed').length).toBeGreaterThan(1);
  const head = parts.fused.steps.findLastIndex(({ kind }) => kind === 'linear');
  expect(dispatches.filter(({ step }) => step === head).length).toBeGreaterThan(1);
}
