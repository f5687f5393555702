/** What a load takes of the host's memory, and what happens when the GPU has no room. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beforeAll, describe, expect, test } from 'vitest';
import { createWebGpu } from '../../packages/core/src/backends/webgpu/index.ts';
import { parseModelConfig } from '../../packages/core/src/models/config.ts';
import type { KvCacheRef } from '../../packages/core/src/ops/index.ts';
import { loadWeights } from '../../packages/core/src/pipeline/load_weights.ts';
import { prefixProgram, tokensProgram, visionProgram } from '../../packages/core/src/pipeline/programs.ts';
import { openWeights } from '../../packages/core/src/weights/store.ts';
import { nodeHost } from '../../packages/node/src/host.ts';
import { withBigModel } from '../support/big_model.ts';
import { readGolden } from '../support/golden.ts';
import { argmax, loadGolden, runPrefix, runSteps, runVision } from '../support/golden_model.ts';
import { openTestGpu } from '../support/gpu.ts';
import { createTestHost } from '../support/host.ts';

const MIB = 2 ** 20;
/** What an upload may add to the host's memory, whatever the model's size. */
const MOST = 150 * MIB;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

let gpu: GPU;
beforeAll(async () => {
  gpu = await openTestGpu('swiftshader');
});

test('300 MB of weights take less than 150 MB of the host', { timeout: 240_000 }, async () => {
  const shape = { hidden_size: 1024, intermediate_size: 4096, num_hidden_layers: 9 };
  await withBigModel(shape, async (folder, bytes) => {
    expect(bytes).toBeGreaterThan(300e6);
    const config = parseModelConfig(JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')));
    const programs = [visionProgram(config), prefixProgram(config, 1), tokensProgram(config, 1)];
    // This driver compiles in the process: what that takes, before and after, is not the weights'.
    const backend = await createWebGpu(createTestHost({ gpu }), { precision: 'f32' });
    const store = await openWeights(await nodeHost.openModel(folder));
    try {
      collect();
      const start = process.memoryUsage().rss;
      const before = await backend.memory();
      let most = 0;
      const look = (): void => {
        most = Math.max(most, process.memoryUsage().rss);
      };
      const timer = setInterval(look, 5);
      await loadWeights(backend, store, config, programs, look).finally(() => clearInterval(timer));
      await backend.createCache(programs[2].caches);
      look();
      const { weights, total } = await backend.memory();
      expect(weights).toBeGreaterThan(0.99 * bytes);
      // So is its GPU memory, every page of it.
      const beside = most - start - (total - before.total);
      console.log(
        `${(bytes / MIB).toFixed(0)} MiB of weights: ${((most - start) / MIB).toFixed(0)} MiB at most, ` +
          `${(beside / MIB).toFixed(0)} MiB of them not the GPU's`,
      );
      expect(beside).toBeLessThan(MOST);
    } finally {
      await store.close();
      await backend.dispose();
    }
  });
});

describe('a cache that the GPU has no room for', () => {
  const layer = (index: number, context: number): KvCacheRef => ({
    layer: index,
    kvHeads: 32,
    headDim: 128,
    context,
  });
  const cases: [string, KvCacheRef[]][] = [
    // This driver refuses 1 GiB at allocation, and more by its limit.
    ['of 1 GiB', [layer(0, 2 ** 16)]],
    ['beyond the limit of a buffer', [layer(0, 2 ** 18)]],
    ['in its second layer', [layer(0, 2 ** 10), layer(1, 2 ** 16)]],
  ];

  test.each(cases)('is refused, and the device works: %s', { timeout: 120_000 }, async (_, caches) => {
    const model = { name: 'cropping', ...(await readGolden('cropping')) };
    const backend = await createWebGpu(createTestHost({ gpu }), { precision: 'f32' });
    try {
      const before = await backend.memory();
      await expect(backend.createCache(caches)).rejects.toMatchObject({
        name: 'DeviceError',
        code: 'OUT_OF_MEMORY',
        fix: expect.stringContaining('smaller context') as string,
      });
      expect(await backend.memory()).toEqual(before);
      await loadGolden(backend, model);
      await runVision(backend, model);
      const rows = await runSteps(backend, model, await runPrefix(backend, model), 4);
      expect(rows.map(argmax)).toEqual(model.golden.greedy_tokens.slice(0, 4));
    } finally {
      await backend.dispose();
    }
  });
});
