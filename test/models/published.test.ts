/**
 * Each architecture against Hugging Face transformers, or the transcription of the specification where it has none, stage
 * by stage: float weights within 1e-4 of each stage's largest value, and the same tokens.
 */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Backend } from '../../packages/core/src/backend/index.ts';
import { createWasm } from '../../packages/core/src/backends/wasm/index.ts';
import { createWebGpu } from '../../packages/core/src/backends/webgpu/index.ts';
import { parsePreprocessor } from '../../packages/core/src/image/preprocess.ts';
import { pictureOf } from '../../packages/core/src/pipeline/picture.ts';
import {
  argmax,
  loadGolden,
  runPrefix,
  runSteps,
  runVision,
  stageOf,
  visionPairs,
} from '../support/golden_model.ts';
import { openTestGpu } from '../support/gpu.ts';
import { createTestHost } from '../support/host.ts';
import { convertPublished, type Converted } from '../support/published.ts';
import { difference } from '../support/tolerance.ts';
import { subgroup } from '../support/variants.ts';

const LIMIT = 1e-4;

const backends: [string, () => Promise<Backend>][] = [
  [
    'WASM, relaxed, 1 thread',
    () => createWasm(createTestHost(), { variant: 'relaxed', threads: 1, poison: true }),
  ],
  [
    'WASM, simd, 2 threads',
    () => createWasm(createTestHost(), { variant: 'simd', threads: 2, poison: true }),
  ],
  [
    'WASM, relaxed, 3 threads',
    () => createWasm(createTestHost(), { variant: 'relaxed', threads: 3, poison: true }),
  ],
  [
    'WebGPU, lavapipe',
    async () => {
      const host = createTestHost({ gpu: await openTestGpu('lavapipe') });
      return createWebGpu(host, { precision: 'f32', poison: true, variants: subgroup });
    },
  ],
];

describe.each([
  ['SigLIP and Qwen2', 'siglip-qwen2'],
  ['InternVL, tiles', 'internvl2'],
  ['InternVL with spatial tokens, qk-norm', 'internvl2-sp'],
  ['LLaVA-1.6, anyres', 'llava-next'],
  ['the transformer extractor', 'transformer-sfe'],
])('%s', { timeout: 120_000 }, (_, name) => {
  let converted: Converted;
  beforeAll(async () => {
    converted = await convertPublished(name);
  });
  afterAll(() => converted.remove());

  test('the picture becomes the pixels', async () => {
    const { model, image } = converted;
    const json = await readFile(new URL('preprocessor_config.json', model.folder), 'utf8');
    const { inputs } = pictureOf(model.config, parsePreprocessor(JSON.parse(json)), image);
    const pixels = stageOf(model.stages, 'pixels');
    const size = inputs[0].length;
    expect(inputs.length * size).toBe(pixels.length);
    inputs.forEach((input, i) => close(`tile ${i}`, input, pixels.subarray(i * size, (i + 1) * size), 1e-6));
  });

  test.each(backends)('%s', async (_, open) => {
    const { model } = converted;
    const { golden, config, stages } = model;
    const backend = await open();
    try {
      await loadGolden(backend, model);
      const pairs = visionPairs(model, await runVision(backend, model));
      for (const { what, got, want } of pairs) close(what, got, want);
      expect(pairs.length).toBeGreaterThanOrEqual(4);

      const after = await runPrefix(backend, model);
      if (model.grid)
        close('visual_tokens', after.visual ?? new Float32Array(0), stageOf(stages, 'visual_tokens'));
      const rows = await runSteps(backend, model, after, golden.greedy_tokens.length);
      const { vocab } = config.text;
      const truth = stageOf(stages, 'logits');
      rows.forEach((row, i) => close(`logits ${i}`, row, truth.subarray(i * vocab, (i + 1) * vocab)));
      expect(rows.map(argmax)).toEqual(golden.greedy_tokens);
    } finally {
      await backend.dispose();
    }
  });
});

function close(what: string, got: Float32Array, truth: Float32Array, limit = LIMIT): void {
  expect(got.length, what).toBe(truth.length);
  const error = difference(got, truth).largest;
  expect(error, `${what}: largest error relative to the largest value`).toBeLessThan(limit);
}
