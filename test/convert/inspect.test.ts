/** What folders and files of weights hold, told without reading a weight. */
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { inspect } from '../../packages/convert/src/inspect.ts';
import { failure } from '../weights/files.ts';

const golden = fileURLToPath(new URL('../golden/published/', import.meta.url));

describe('inspect', () => {
  test('a published folder: what it is, and what it needs', async () => {
    const found = await inspect(`${golden}lora-cropping/adapter`, {
      base: `${golden}lora-cropping/base`,
      visionTower: `${golden}lora-cropping/vision-tower`,
      context: 100,
    });
    expect(found).toMatchObject({
      kind: 'published',
      variant: 'cropping, N = 6, DFI k = 4',
      incomplete: null,
    });
    const { needs, parts } = found;
    // 2 (keys and values) x 2 layers x 2 heads x 16 x 100 tokens x 4 bytes
    expect(needs).toMatchObject({ context: 100, cache: 51_200 });
    for (const storing of ['q4', 'q8', 'f16', 'default'] as const) {
      const sum = parts.reduce((total, { bytes }) => total + (bytes[storing] ?? NaN), 0);
      expect(needs?.weights[storing]).toBe(sum);
      expect(needs?.total[storing]).toBe(sum + 51_200);
    }
    expect(needs?.weights.q4).toBeLessThan(needs?.weights.q8 ?? 0);
    const sfe = parts.find(({ part }) => part === 'sfe');
    expect(sfe?.weights).toBe([1, 2, 3, 4, 5, 6].reduce((sum, k) => sum + 32 * 32 * k * k, 0));
    expect(sfe?.bytes.f16).toBe(2 * (sfe?.weights ?? 0));
  });

  test('a folder that lacks its base still lists its tensors', async () => {
    const found = await inspect(`${golden}lora-cropping/adapter`);
    expect(found).toMatchObject({ kind: 'weights', variant: 'cropping, N = 6, DFI k = 4', needs: null });
    expect(found.incomplete).toMatch(/adapter/);
    expect(found.tensors).toHaveLength(53);
  });

  test('single files', async () => {
    const trained = await inspect(`${golden}lora-cropping/adapter/non_lora_trainables.bin`);
    expect(trained.tensors).toContainEqual({
      ...{ name: 'base_model.model.model.conv_6.weight', dtype: 'F16', shape: [32, 32, 6, 6] },
      ...{ bytes: 73_728, file: 'non_lora_trainables.bin' },
    });
    const tower = await inspect(new URL('siglip-qwen2/vision-tower/model.safetensors', `file://${golden}`));
    expect(tower.tensors.length).toBeGreaterThan(40);
    const missing = await failure(() => inspect(`${golden}lora-cropping/adapter/nothing.bin`));
    expect(missing).toMatchObject({ code: 'MODEL_FILE_MISSING' });
  });

  test('on-device folders, quantised ones too', async () => {
    const plain = await inspect(fileURLToPath(new URL('../golden/cropping', import.meta.url)));
    const q4 = await inspect(fileURLToPath(new URL('../golden/cropping-q4', import.meta.url)));
    expect(q4).toMatchObject({ kind: 'on-device', variant: 'cropping, N = 6, DFI k = 4', leftover: [] });
    const weights = (one: typeof q4) => one.parts.map(({ part, weights: count }) => [part, count]);
    expect(weights(q4)).toEqual(weights(plain));
    const stored = q4.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(q4.needs?.weights).toEqual({ stored });
    expect(stored).toBeLessThan(plain.needs?.weights.stored ?? 0);
  });

  test('a folder quantised by MLX is on-device as it is', async () => {
    const found = await inspect(`${golden}mlx-q4/model`);
    expect(found).toMatchObject({ kind: 'on-device', variant: 'no spatial features', incomplete: null });
  });

  test('what is no folder, and no context', async () => {
    expect(await failure(() => inspect(`${golden}nowhere`))).toMatchObject({ code: 'MODEL_NOT_FOUND' });
    const error = await failure(() => inspect(`${golden}mlx-q4/model`, { context: 0.5 }));
    expect(error).toMatchObject({ code: 'OPTION_INVALID' });
  });
});
