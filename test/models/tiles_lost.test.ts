/** Pictures of several tiles on a device that is lost at any call, and on one with little room. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { loadModel } from '../../packages/core/src/api/load.ts';
import type { Model } from '../../packages/core/src/api/model.ts';
import type * as Backends from '../../packages/core/src/backends/index.ts';
import type * as Probe from '../../packages/core/src/backends/wasm/probe.ts';
import { FragileDevices } from '../support/fragile.ts';
import { folderFiles } from '../support/golden.ts';
import { createTestHost } from '../support/host.ts';
import { convertPublished, type Converted } from '../support/published.ts';

const seam = vi.hoisted(() => ({ create: null as typeof Backends.createBackend | null }));
vi.mock('../../packages/core/src/backends/index.ts', async (original) => ({
  ...(await original<typeof Backends>()),
  createBackend: (...args: Parameters<typeof Backends.createBackend>) => seam.create?.(...args),
}));
// The backend is started some dozen times here: its kernels are tested and timed once.
vi.mock('../../packages/core/src/backends/wasm/probe.ts', async (original) => {
  const { probe } = await original<typeof Probe>();
  let result: ReturnType<typeof probe> | null = null;
  return { probe: (...args: Parameters<typeof probe>) => (result ??= probe(...args)) };
});

let converted: Converted;
beforeAll(async () => {
  converted = await convertPublished('llava-next');
});
afterAll(() => converted.remove());

/** `context`: positions that the device has room for. */
async function load(devices: FragileDevices, context: number | null = null): Promise<Model> {
  seam.create = async (...args) => {
    const created = await devices.create(...args);
    if (context === null) return created;
    const { backend } = created;
    const reserve = backend.reserve?.bind(backend);
    backend.reserve = async (...wanted) => ({ ...(await reserve?.(...wanted)), context });
    return created;
  };
  const { folder } = converted.model;
  const files = folderFiles(folder);
  return loadModel({ ...createTestHost(), openModel: () => Promise.resolve(files) }, fileURLToPath(folder));
}

test('a loss at any call leaves the answer as it was', { timeout: 60_000 }, async () => {
  const { image } = converted;
  let number = 0;
  let undisturbed = '';
  const lostIn = new Set<string>();
  for (;;) {
    const devices = new FragileDevices();
    const model = await load(devices);
    try {
      const begun = devices.calls.length;
      let at: string | null = null;
      devices.loses = (call, count) => {
        if (number === 0 || at !== null || count < begun + number) return null;
        at = call;
        return count % 2 ? 'before' : 'after';
      };
      const text = await model.ask(image, 'What is it?', { maxTokens: 3 }).text();
      if (number === 0) undisturbed = text;
      expect(text, `lost in ${at}, call ${number}`).toBe(undisturbed);
      if (number > 0 && at === null) break;
      if (at !== null) lostIn.add(String(at));
    } finally {
      await model.dispose();
    }
    number++;
  }
  const { golden, config } = converted.model;
  const before = golden.prompt_ids.indexOf(config.imageToken);
  const tiles = [
    'run vision',
    ...[0, 1, 2, 3, 4].map((tile) => `run place[${tile}]`),
    `run visual[${before}+140]`,
  ];
  expect([...lostIn]).toEqual(expect.arrayContaining(tiles));
});

test('a picture that this device has no room for is refused before any of it is computed', async () => {
  const { image, model: golden } = converted;
  const devices = new FragileDevices();
  const texts = golden.golden.prompt_ids.length - 1;
  const model = await load(devices, texts + 120);
  try {
    const begun = devices.calls.length;
    const refused = { code: 'PROMPT_TOO_LONG', message: expect.stringContaining(`${texts + 120}`) as string };
    await expect(model.look(image)).rejects.toMatchObject(refused);
    expect(devices.calls.slice(begun)).toEqual([]);
    // A line of a picture has few tokens.
    const line = { data: new Uint8Array(40 * 3), width: 40, height: 1 };
    expect(await model.ask(line, 'What is it?', { maxTokens: 2 }).text()).toBeDefined();
  } finally {
    await model.dispose();
  }
});
