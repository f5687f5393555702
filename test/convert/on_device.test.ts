/** On-device folders of floats, as a recipe exports them, to stored parts; all else stays as it is. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { load, nodeHost } from '@llava-sp/node';
import { convert } from '../../packages/convert/src/convert.ts';
import { openPlan } from '../../packages/convert/src/plan.ts';
import { openWeights } from '../../packages/core/src/weights/store.ts';
import { toFloat32 } from '../../packages/core/src/weights/floats.ts';
import { failure, folder, json } from '../weights/files.ts';

const golden = (name: string): string => fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
const floats = {
  llm: 'f32',
  sfe: 'f32',
  detail: 'f32',
  vision: 'f32',
  projector: 'f32',
  embeddings: 'f32',
} as const;

let out: string;
beforeEach(async () => {
  out = await mkdtemp(join(tmpdir(), 'llava-sp-on-device-'));
});
afterEach(() => rm(out, { recursive: true, force: true }));

describe('an on-device folder of floats', () => {
  for (const name of ['cropping', 'pooling', 'plain']) {
    it(`${name}: as floats again it has the same values and files`, async () => {
      const report = await convert({ checkpoint: golden(name), out, quantisation: floats, threads: 1 });
      expect(report.layout).toBe('on-device floats');
      expect(report.total.error).toBe(0);
      for (const file of [
        'config.json',
        'preprocessor_config.json',
        'tokenizer.json',
        'tokenizer_config.json',
      ]) {
        const [from, to] = await Promise.all(
          [golden(name), out].map((home) => readFile(join(home, file), 'utf8')),
        );
        expect(JSON.parse(to)).toEqual(JSON.parse(from));
      }
      const [from, to] = await Promise.all(
        [golden(name), out].map(async (home) => openWeights(await nodeHost.openModel(home))),
      );
      try {
        for (const tensor of to.names()) {
          const values = async (store: typeof from) =>
            toFloat32(await store.read(tensor, 0, store.entry(tensor).rows), 'f32');
          expect(await values(to)).toEqual(await values(from));
        }
      } finally {
        await Promise.all([from.close(), to.close()]);
      }
    });
  }

  it('answers with stored parts as with its floats', async () => {
    await convert({
      checkpoint: golden('cropping'),
      out,
      quantisation: { ...floats, vision: 'q8' },
      threads: 1,
    });
    const ask = async (home: string): Promise<string> => {
      const model = await load(home, { device: 'wasm', threads: 1 });
      try {
        return await model.ask(join(golden('cropping'), 'image.png'), 'What is it?', { maxTokens: 2 }).text();
      } finally {
        await model.dispose();
      }
    };
    expect(await ask(out)).toBe(await ask(golden('cropping')));
  });

  it('says what it lacks', async () => {
    const config = JSON.parse(await readFile(golden('cropping/config.json'), 'utf8')) as object;
    const lacking = folder({ 'config.json': json(config) });
    expect(await failure(() => openPlan({ checkpoint: lacking }))).toMatchObject({
      code: 'MODEL_FILE_MISSING',
    });
  });
});
