/**
 * The whole model against Hugging Face transformers and the transcription of the specification, stage by stage, on each
 * build of the kernels and on one, two and three threads. Float32 weights: within 1e-4 of the largest value.
 */
import { describe, expect, test } from 'vitest';
import { createWasm, type WasmOptions } from '../../packages/core/src/backends/wasm/index.ts';
import { readGolden } from '../support/golden.ts';
import {
  argmax,
  loadGolden,
  runPrefix,
  runSteps,
  runVision,
  stageOf,
  visionPairs,
} from '../support/golden_model.ts';
import { createTestHost } from '../support/host.ts';
import { difference } from '../support/tolerance.ts';

const LIMIT = 1e-4;

const setups: WasmOptions[] = [
  { variant: 'relaxed', threads: 1 },
  { variant: 'relaxed', threads: 2 },
  { variant: 'simd', threads: 1 },
  { variant: 'simd', threads: 3 },
];

describe.each(['cropping', 'pooling', 'plain'])('golden model %s', (name) => {
  test.each(setups)('$variant kernels on $threads threads', async (options) => {
    const model = { name, ...(await readGolden(name)) };
    const { golden, config, stages } = model;
    const backend = await createWasm(createTestHost(), { ...options, poison: true });
    try {
      await loadGolden(backend, model);
      const pairs = visionPairs(model, await runVision(backend, model));
      for (const { what, got, want } of pairs) close(what, got, want);
      expect(pairs.length).toBeGreaterThanOrEqual(config.spatial ? 8 : 5);

      const steps = golden.greedy_tokens.length;
      const rows = await runSteps(backend, model, await runPrefix(backend, model), steps);
      expect(rows.map(argmax)).toEqual(golden.greedy_tokens);
      const { vocab } = config.text;
      const truth = stageOf(stages, 'logits');
      rows.forEach((row, i) => close(`logits ${i}`, row, truth.subarray(i * vocab, (i + 1) * vocab)));
    } finally {
      await backend.dispose();
    }
  });
});

function close(what: string, got: Float32Array, truth: Float32Array): void {
  expect(difference(got, truth).largest, `${what}: largest error relative to the largest value`).toBeLessThan(
    LIMIT,
  );
}
