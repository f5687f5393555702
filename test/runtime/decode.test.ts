/**
 * What a decoded token costs besides its arithmetic: one crossing from JavaScript into WASM, no memory of the kernels, and
 * no thread-to-thread message but the request and its answer.
 */
import { afterEach, expect, test } from 'vitest';
import { createWasm } from '../../packages/core/src/backends/wasm/index.ts';
import type { Host } from '../../packages/core/src/host.ts';
import { loadWeights } from '../../packages/core/src/pipeline/load_weights.ts';
import { prefixProgram, tokensProgram, visionProgram } from '../../packages/core/src/pipeline/programs.ts';
import { openWeights } from '../../packages/core/src/weights/store.ts';
import { folderFiles, goldenFolder, readGolden } from '../support/golden.ts';
import { createTestHost } from '../support/host.ts';
import { sameThread } from '../support/same_thread.ts';

const RealInstance = WebAssembly.Instance;

afterEach(() => {
  WebAssembly.Instance = RealInstance;
});

test('a decoded token crosses into WASM once and takes no memory there', async () => {
  let crossings = 0;
  const memories: WebAssembly.Memory[] = [];
  // Counts the calls of `run`, the one way into the kernels that a list takes.
  WebAssembly.Instance = new Proxy(RealInstance, {
    construct(target, [module, imports]: [WebAssembly.Module, { env: { memory: WebAssembly.Memory } }]) {
      const { exports } = new target(module, imports);
      memories.push(imports.env.memory);
      const run = exports.run as (list: number, count: number) => number;
      return {
        exports: {
          ...exports,
          run: (list: number, count: number) => {
            crossings++;
            return run(list, count);
          },
        },
      };
    },
  });
  let messages = 0;
  const host: Host = { ...createTestHost(), spawnWorker: () => sameThread(() => messages++) };
  const { config } = await readGolden('cropping');
  const backend = await createWasm(host, { threads: 1 });
  const programs = [visionProgram(config), prefixProgram(config, 4), tokensProgram(config, 1)];
  const store = await openWeights(folderFiles(goldenFolder('cropping')));
  await loadWeights(backend, store, config, programs, () => undefined);
  await backend.createCache(programs[2].caches);
  const decode = await backend.compile(programs[2]);
  const token = (pos: number) => backend.run(decode, { inputs: { ids: Uint32Array.of(7) }, pos });
  await token(0);

  const before = { crossings, messages, memory: await backend.memory() };
  const buffers = memories.map(({ buffer }) => buffer);
  const asked = messages;
  const [first] = await token(1);
  for (let pos = 2; pos <= 50; pos++) {
    const [logits] = await token(pos);
    // The same array, written anew.
    expect(logits).toBe(first);
  }
  expect(crossings - before.crossings).toBe(50);
  expect(messages - asked).toBe(100);
  expect(await backend.memory()).toEqual(before.memory);
  expect(memories.map(({ buffer }) => buffer)).toEqual(buffers);
  await backend.dispose();
});
