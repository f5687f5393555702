import { existsSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { ByteSource, ModelFiles } from '../../packages/core/src/host.ts';
import { parseModelConfig } from '../../packages/core/src/models/config.ts';
import { readFloats } from '../../packages/core/src/weights/floats.ts';
import { describeLayer } from '../../packages/core/src/weights/quantization.ts';
import { openWeights } from '../../packages/core/src/weights/store.ts';

const goldenFolder = new URL('../golden/', import.meta.url);

/** A folder on disk, read by range. */
function folderAt(folder: URL): ModelFiles {
  return {
    location: folder.pathname,
    has: async (name) => existsSync(new URL(name, folder)),
    async open(name): Promise<ByteSource> {
      const file = await open(new URL(name, folder));
      return {
        size: (await stat(new URL(name, folder))).size,
        async read(begin, end) {
          const { bytesRead, buffer } = await file.read(new Uint8Array(end - begin), 0, end - begin, begin);
          return buffer.subarray(0, bytesRead);
        },
        close: () => file.close(),
      };
    },
  };
}

async function openModel(name: string) {
  const folder = new URL(`${name}/`, goldenFolder);
  const config = parseModelConfig(JSON.parse(await readFile(new URL('config.json', folder), 'utf8')));
  return { config, store: await openWeights(folderAt(folder)) };
}

describe.each(['cropping', 'pooling', 'plain', 'cropping-q4'])(
  '%s, as the safetensors library wrote it',
  (name) => {
    test('opens; its layers have the sizes that config.json says, and finite norms', async () => {
      const { config, store } = await openModel(name);
      const { text, vision, spatial, quantization } = config;
      const layer = (path: string, n: number, k: number) =>
        describeLayer(store, quantization, path, { n, k });
      const { format } = layer('language_model.model.layers.0.mlp.up_proj', text.mlp, text.width);
      expect(format).toBe(name === 'cropping-q4' ? 'q4' : 'f32');
      layer('language_model.model.layers.0.self_attn.k_proj', text.kvHeads * text.headDim, text.width);
      layer('language_model.model.embed_tokens', text.vocab, text.width);
      layer('multi_modal_projector.linear_1', text.width, vision.width);
      for (const kernel of spatial?.kernels ?? []) {
        layer(`spatial_features.conv_${kernel}`, spatial?.features ?? 0, kernel * kernel * vision.width);
      }
      const norm = await readFloats(store, 'language_model.model.norm.weight', [text.width]);
      expect(norm.length).toBe(text.width);
      expect(norm.some((value) => value !== 0)).toBe(true);
      await store.close();
    });

    test('every tensor can be read whole and row by row, to the same bytes', async () => {
      const { store } = await openModel(name);
      for (const tensor of store.names()) {
        const { rows, size } = store.entry(tensor);
        const whole = await store.read(tensor);
        expect(whole.length).toBe(size);
        const middle = rows >> 1;
        const halves = [await store.read(tensor, 0, middle), await store.read(tensor, middle)];
        expect(Buffer.concat(halves).equals(whole)).toBe(true);
      }
      await store.close();
    });
  },
);
