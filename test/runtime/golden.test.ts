/**
 * The whole model against Hugging Face transformers and the transcription of the specification, stage by stage, on each
 * build of the kernels and on one, two and three threads. Float32 weights: within 1e-4 of the largest value.
 */
import { describe, expect, test } from 'vitest';
import {
  createWasm,
  type WasmBackend,
  type WasmOptions,
} from '../../packages/core/src/backends/wasm/index.ts';
import { loadWeights } from '../../packages/core/src/pipeline/load_weights.ts';
import { prefixProgram, tokensProgram, visionProgram } from '../../packages/core/src/pipeline/programs.ts';
import type { ModelConfig } from '../../packages/core/src/models/config.ts';
import { visualTokenCount } from '../../packages/core/src/models/registry.ts';
import { openWeights } from '../../packages/core/src/weights/store.ts';
import { folderFiles, goldenFolder, readGolden } from '../support/golden.ts';
import { createTestHost } from '../support/host.ts';

const LIMIT = 1e-4;

const setups: WasmOptions[] = [
  { variant: 'relaxed', threads: 1 },
  { variant: 'relaxed', threads: 2 },
  { variant: 'simd', threads: 1 },
  { variant: 'simd', threads: 3 },
];

describe.each(['cropping', 'pooling', 'plain'])('golden model %s', (name) => {
  test.each(setups)('$variant kernels on $threads threads', async (options) => {
    const { golden, config, stages } = await readGolden(name);
    const host = createTestHost();
    const backend = await createWasm(host, { ...options, poison: true });
    try {
      const names = [...stages.keys()].filter((key) => /^(vision\.hidden|detail|visual)/.test(key));
      const taps = new Set([...names, 'spatial.features', 'visual_tokens']);
      const vision = visionProgram(config, taps);
      await load(backend, name, config);

      const executable = await backend.compile(vision);
      const outputs = await backend.run(executable, { inputs: { pixels: stage(stages, 'pixels') } });
      const got = new Map<string, Float32Array>();
      vision.outputs.forEach((t, i) => got.set(vision.storages[t.storage].name, outputs[i].slice()));
      compareVision(config, stages, got);

      const before = golden.prompt_ids.indexOf(config.imageToken);
      const ids = golden.prompt_ids;
      const prefix = await backend.compile(prefixProgram(config, before));
      await backend.run(prefix, { inputs: { ids: Uint32Array.from(ids.slice(0, before)) }, pos: 0 });
      const after = ids.slice(before + 1);
      const prompt = await backend.compile(tokensProgram(config, after.length));
      let pos = before + visualTokenCount(config);
      const rows: Float32Array[] = [];
      let [logits] = await backend.run(prompt, { inputs: { ids: Uint32Array.from(after) }, pos });
      pos += after.length;
      rows.push(logits.slice());
      const decode = await backend.compile(tokensProgram(config, 1));
      for (const token of golden.greedy_tokens.slice(0, -1)) {
        [logits] = await backend.run(decode, { inputs: { ids: Uint32Array.of(token) }, pos: pos++ });
        rows.push(logits.slice());
      }
      expect(rows.map(argmax)).toEqual(golden.greedy_tokens);
      const { vocab } = config.text;
      const truth = stage(stages, 'logits');
      rows.forEach((row, i) => close(`logits ${i}`, row, truth.subarray(i * vocab, (i + 1) * vocab)));
    } finally {
      await backend.dispose();
    }
  });
});

async function load(backend: WasmBackend, name: string, config: ModelConfig): Promise<void> {
  const store = await openWeights(folderFiles(goldenFolder(name)));
  const programs = [visionProgram(config), prefixProgram(config, 1), tokensProgram(config, 1)];
  await loadWeights(backend, store, config, programs, () => undefined);
  await backend.createCache(programs[2].caches);
  await store.close();
}

function compareVision(
  config: ModelConfig,
  stages: Map<string, Float32Array>,
  got: Map<string, Float32Array>,
): void {
  let compared = 0;
  for (const [key, truth] of stages) {
    if (/^(vision\.hidden|detail)/.test(key)) {
      close(key, stage(got, key), truth);
      compared++;
    }
    const spatial = /^spatial\.(\d+)$/.exec(key);
    if (spatial && config.spatial) {
      const size = config.spatial.features;
      const at = Number(spatial[1]) * size;
      close(key, stage(got, 'spatial.features').subarray(at, at + size), truth);
      compared++;
    }
  }
  // Class token dropped.
  const hidden = [...got.keys()].filter((key) => key.startsWith('vision.hidden')).sort(byNumber);
  const last = stage(got, hidden[hidden.length - 1]);
  close('vision.features', last.subarray(config.vision.width), stage(stages, 'vision.features'));
  close('visual_tokens', stage(got, 'visual_tokens.copy'), stage(stages, 'visual_tokens'));
  expect(compared).toBeGreaterThanOrEqual(config.spatial ? 6 : 3);
}

function byNumber(a: string, b: string): number {
  return Number(a.split('.').at(-1)) - Number(b.split('.').at(-1));
}

function stage(map: Map<string, Float32Array>, name: string): Float32Array {
  const found = map.get(name);
  if (!found) throw new Error(`no stage ${name} among ${[...map.keys()].join(', ')}`);
  return found;
}

function close(what: string, got: Float32Array, truth: Float32Array): void {
  expect(got.length, what).toBe(truth.length);
  let largest = 0;
  let error = 0;
  for (let i = 0; i < truth.length; i++) {
    largest = Math.max(largest, Math.abs(truth[i]));
    const difference = Math.abs(got[i] - truth[i]);
    // A NaN is greater than nothing: count it as the worst.
    error = Number.isNaN(difference) ? Infinity : Math.max(error, difference);
  }
  expect(error / largest, `${what}: largest error relative to the largest value`).toBeLessThan(LIMIT);
}

function argmax(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i] > row[best]) best = i;
  return best;
}
