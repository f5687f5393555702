/** Thousands of damaged published files: each is read, or refused with an error of the SDK, in good time. */
import { afterAll, describe, expect, test } from 'vitest';
import { openPlan } from '../../packages/convert/src/plan.ts';
import { fuzz as fuzzFiles } from '../support/fuzz.ts';
import {
  memoryEntry,
  torchBytes,
  torchEntries,
  zipBytes,
  type TorchTensor,
} from '../support/torch_writer.ts';
import { folder, json, safetensors } from '../weights/files.ts';
import { mutateBytes, mutateJson, type Random } from '../weights/mutate.ts';
import {
  adapterConfig,
  languageDrafts,
  llavaConfig,
  loraFolders,
  preprocessorConfig,
  published,
  towerConfig,
  towerDrafts,
  towerFolder,
  trainedDrafts,
  wholeFolders,
} from './tiny_published.ts';
import { readAll, weight } from './torch_files.ts';

describe('thousands of damaged files are read or refused, never more', () => {
  const started = performance.now();
  let total = 0;
  const fuzz = async (count: number, salt: number, read: (random: Random) => unknown): Promise<void> => {
    await fuzzFiles(count, salt, read);
    total += count;
  };
  const tensors: TorchTensor[] = [
    weight,
    { name: 'tied', dtype: 'F32', shape: [2, 2], stride: [1, 2], tiedTo: 'w' },
    { name: 'half', dtype: 'F16', shape: [3, 1, 2], chunks: () => [new Uint8Array(12)] },
    { name: 'long', dtype: 'I64', shape: [2], chunks: () => [new Uint8Array(16)] },
  ];
  const [pickleEntry, ...rest] = torchEntries(tensors);
  const readable = new Set<string>();

  test('torch files, any byte', async () => {
    const bytes = await torchBytes(tensors);
    await fuzz(2500, 21, (next) => readAll(mutateBytes(bytes, next)));
  });

  test('torch files, the pickle', async () => {
    const pickle = new Uint8Array(pickleEntry.size);
    for await (const chunk of pickleEntry.chunks()) pickle.set(chunk);
    await fuzz(3000, 22, async (next) => {
      const damaged = memoryEntry('archive/data.pkl', mutateBytes(pickle, next));
      await readAll(await zipBytes([damaged, ...rest]));
    });
  });

  test('torch files, the directory', async () => {
    const bytes = await torchBytes(tensors);
    const directory = bytes.findIndex((_, i) => i > 600 && bytes[i] === 0x50 && bytes[i + 2] === 1);
    expect(directory).toBeGreaterThan(0);
    await fuzz(1500, 23, (next) => {
      const damaged = mutateBytes(bytes.subarray(directory), next);
      return readAll(Uint8Array.from([...bytes.subarray(0, directory), ...damaged]));
    });
  });

  const { grid } = published;
  const small = { ...published, spatial: null };
  const close = async (opening: ReturnType<typeof openPlan>) => {
    const plan = await opening;
    readable.add(plan.variant);
    for (const { source: from, rows, shape } of plan.tensors) {
      expect(rows[1] - rows[0]).toBe(shape[0]);
      if (from) await from.read(rows[0], Math.min(rows[1], rows[0] + 1));
    }
    await plan.close();
  };
  const damaged = (value: object, next: Random) =>
    next() < 0.5 ? json(mutateJson(value, next)) : mutateBytes(json(value), next);

  test("a checkpoint's config.json", () =>
    fuzz(1000, 24, (next) =>
      close(openPlan(wholeFolders(small, { 'config.json': damaged(llavaConfig(), next) }))),
    ));

  test("a tower's config.json and preprocessor_config.json, a tokenizer's added tokens", () =>
    fuzz(1000, 25, (next) => {
      const visionTower = folder({
        'config.json': next() < 0.6 ? damaged(towerConfig({ grid }), next) : json(towerConfig({ grid })),
        'preprocessor_config.json': damaged(preprocessorConfig, next),
        'model.safetensors': safetensors(towerDrafts({ grid })),
      });
      const tokens = { 'added_tokens.json': damaged({ '<image>': 3 }, next) };
      return close(openPlan({ ...wholeFolders(small, next() < 0.3 ? tokens : {}), visionTower }));
    }));

  test('adapter_config.json', () =>
    fuzz(1000, 26, (next) => {
      const patterns = { rank_pattern: { k_proj: 3 }, alpha_pattern: {}, use_rslora: false };
      const config = damaged({ ...adapterConfig, ...patterns }, next);
      return close(openPlan(loraFolders({ 'adapter_config.json': config })));
    }));

  test('names, types and shapes of tensors', () => {
    const drafts = { ...languageDrafts(), ...trainedDrafts({ ...published, kernels: [12, 24], detail: 4 }) };
    const known = ['F32', 'F16', 'BF16', 'I64'];
    return fuzz(1000, 27, (next) => {
      const changed = { ...drafts };
      const names = Object.keys(changed);
      const name = names[Math.floor(next() * names.length)];
      const { dtype, shape } = changed[name];
      const kind = Math.floor(next() * 5);
      if (kind !== 3) delete changed[name];
      const other = new TextDecoder().decode(mutateBytes(new TextEncoder().encode(name), next));
      if (kind === 0) changed[other] = { dtype, shape };
      if (kind === 1) changed[name] = { dtype: known[Math.floor(next() * 4)], shape };
      if (kind === 2)
        changed[name] = { dtype, shape: shape.map((size) => Math.max(0, size + (next() < 0.5 ? 1 : 0))) };
      if (kind === 3) changed[`model.${other}`] = { dtype, shape: [...shape].reverse() };
      return close(openPlan(wholeFolders(published, { 'model.safetensors': safetensors(changed) })));
    });
  });

  afterAll(() => {
    const seconds = (performance.now() - started) / 1000;
    console.log(`${total} damaged files in ${seconds.toFixed(1)} s; ${[...readable].join('; ')}`);
    expect(total).toBeGreaterThanOrEqual(10_000);
    expect(seconds).toBeLessThan(120);
  });
});

test('the folders that are damaged here are read when they are whole', async () => {
  for (const folders of [wholeFolders(), loraFolders(), { ...wholeFolders(), visionTower: towerFolder() }]) {
    const plan = await openPlan(folders);
    expect(plan.tensors.length).toBeGreaterThan(40);
    await plan.close();
  }
});
