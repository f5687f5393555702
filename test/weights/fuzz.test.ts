import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { LlavaSpError } from '../../packages/core/src/errors/index.ts';
import type { ByteSource } from '../../packages/core/src/host.ts';
import { parsePreprocessor } from '../../packages/core/src/image/preprocessor.ts';
import { parseModelConfig } from '../../packages/core/src/models/config.ts';
import { mostTiles, visualTokenRange } from '../../packages/core/src/models/visual.ts';
import { assemblePrompt, createChatTemplate } from '../../packages/core/src/text/chat.ts';
import { createTokenizer } from '../../packages/core/src/text/tokenizer.ts';
import { describeLayer } from '../../packages/core/src/weights/quantization.ts';
import { openWeights } from '../../packages/core/src/weights/store.ts';
import { fuzz as fuzzFiles } from '../support/fuzz.ts';
import { byteLevelFiles, goldenFolder, llamaFiles, readJson } from '../text/tokenizers.ts';
import { validConfig } from './config.ts';
import { file, folder, json, safetensors } from './files.ts';
import { mutateBytes, mutateJson } from './mutate.ts';
import type { Random } from './mutate.ts';

const started = performance.now();
let total = 0;

async function fuzz(count: number, salt: number, read: (random: Random) => unknown): Promise<void> {
  await fuzzFiles(count, salt, read);
  total += count;
}

const drafts = {
  'fc.weight': { dtype: 'U32', shape: [6, 8] },
  'fc.scales': { dtype: 'F16', shape: [6, 2] },
  'fc.biases': { dtype: 'F16', shape: [6, 2] },
  'conv.weight': { dtype: 'F32', shape: [3, 4, 2, 2] },
  'norm.weight': { dtype: 'BF16', shape: [4] },
  empty: { dtype: 'F32', shape: [0, 4] },
};
const weights = safetensors(drafts, { format: 'pt' });
const headerLength = Number(new DataView(weights.buffer).getBigUint64(0, true));
const header: unknown = JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + headerLength)));
const data = weights.subarray(8 + headerLength);
const scheme = { group: 32, bits: 4, layers: new Map() } as const;

/** Opens the folder and reads every tensor in it; no read may leave its file. */
async function readFolder(contents: Record<string, Uint8Array>): Promise<void> {
  const files = folder(contents);
  const open = files.open.bind(files);
  files.open = async (name): Promise<ByteSource> => {
    const source = await open(name);
    return {
      ...source,
      read(begin, end) {
        if (begin < 0 || end > source.size || begin > end)
          throw new Error(`${name}: read of ${begin}..${end}`);
        return source.read(begin, end);
      },
    };
  };
  const store = await openWeights(files);
  for (const name of store.names()) {
    const { rows, size } = store.entry(name);
    const bytes = await store.read(name);
    if (bytes.length !== size) throw new Error(`${name}: ${bytes.length} of ${size} bytes`);
    // Of [10^15, 0] there are many rows, all empty.
    if (rows > 1) await store.read(name, rows - 1, rows);
    if (name.endsWith('.weight')) {
      try {
        describeLayer(store, scheme, name.slice(0, -'.weight'.length));
      } catch (error) {
        if (!(error instanceof LlavaSpError)) throw error;
      }
    }
  }
  await store.close();
}

describe('damaged files are read or refused, never more', () => {
  test('safetensors, bytes', () =>
    fuzz(2000, 1, (next) => {
      // Most of the damage belongs to the header: the data may be anything.
      const cut = 8 + headerLength + 16;
      const damaged = mutateBytes(weights.subarray(0, cut), next);
      const whole = new Uint8Array(damaged.length + weights.length - cut);
      whole.set(damaged);
      whole.set(weights.subarray(cut), damaged.length);
      return readFolder({ 'model.safetensors': whole });
    }));

  test('safetensors, header fields', () =>
    fuzz(2000, 2, (next) =>
      readFolder({ 'model.safetensors': file(JSON.stringify(mutateJson(header, next)), data) }),
    ));

  const names = Object.keys(drafts);
  const shard = (from: number, to: number) =>
    safetensors(Object.fromEntries(Object.entries(drafts).slice(from, to)));
  const shards = { 'a.safetensors': shard(0, 3), 'b.safetensors': shard(3, 6) };
  const index = {
    metadata: { total_size: data.length },
    weight_map: Object.fromEntries(names.map((name, i) => [name, i < 3 ? 'a.safetensors' : 'b.safetensors'])),
  };
  test('the index of shards', () =>
    fuzz(1500, 3, (next) => {
      const bytes = next() < 0.5 ? mutateBytes(json(index), next) : json(mutateJson(index, next));
      return readFolder({ ...shards, 'model.safetensors.index.json': bytes });
    }));

  const families = ['internvl2-sp', 'llava-next', 'transformer-sfe', 'siglip-qwen2'].map((name) =>
    readJson(new URL(`published/${name}/golden/config.json`, goldenFolder)),
  );
  test('config.json', () =>
    fuzz(3500, 4, (next) => {
      const valid = [validConfig(), ...families][Math.floor(next() * (families.length + 1))];
      const config = parseModelConfig(mutateJson(valid, next));
      const { text, vision, spatial } = config;
      expect(visualTokenRange(config).most).toBeLessThan(text.context);
      expect(mostTiles(config)).toBeLessThanOrEqual(65);
      // What a loader would allocate by it: no tensor past 2^33 elements, no list past a few thousand.
      const largest = Math.max(
        text.vocab * text.width,
        text.heads * text.headDim * text.width,
        text.mlp * text.width,
        2 * text.context * text.kvHeads * text.headDim * text.layers,
        vision.grid ** 2 * vision.width * (spatial?.features ?? 0),
      );
      expect(largest).toBeLessThanOrEqual(2 ** 34);
      expect(Math.max(text.layers, vision.layers, spatial?.kernels.length ?? 0)).toBeLessThanOrEqual(512);
    }));

  test('config.json, bytes', () =>
    fuzz(1000, 5, (next) => {
      const bytes = mutateBytes(json(validConfig()), next);
      let parsed: unknown;
      try {
        parsed = JSON.parse(new TextDecoder().decode(bytes));
      } catch {
        // JSON is read elsewhere; what is no JSON is the empty document here.
        parsed = null;
      }
      parseModelConfig(parsed);
    }));

  const preprocessor = readJson(new URL('cropping/preprocessor_config.json', goldenFolder));
  test('preprocessor_config.json', () =>
    fuzz(1500, 6, (next) => parsePreprocessor(mutateJson(preprocessor, next))));

  const { json: tokenizerJson, config: tokenizerConfig } = byteLevelFiles();
  const ask = (tokenizer: unknown, config: unknown) => {
    const made = createTokenizer(tokenizer, config);
    const template = createChatTemplate(config, made, 2);
    const question = { type: 'text', text: 'Where is the </s> star, naïve 🙂?' } as const;
    const { before, after } = assemblePrompt(made, template, [
      { role: 'user', content: [{ type: 'image' }, question] },
    ]);
    made.decode([...before, ...after]);
  };
  const damagedTemplate = (next: Random) => {
    const template = new TextEncoder().encode(tokenizerConfig.chat_template as string);
    return { ...tokenizerConfig, chat_template: new TextDecoder().decode(mutateBytes(template, next)) };
  };
  test('tokenizer_config.json', () =>
    fuzz(600, 7, (next) => {
      ask(tokenizerJson, next() < 0.5 ? mutateJson(tokenizerConfig, next) : damagedTemplate(next));
    }));

  const llama = llamaFiles('legacy');
  test('tokenizer.json', () =>
    fuzz(600, 8, (next) => {
      const kind = next() < 0.5 ? tokenizerJson : llama.json;
      // The rules are what matters: the vocabulary would take nearly all of the damage.
      const { model, ...rules } = kind;
      const { vocab, merges, ...options } = model as Record<string, unknown>;
      const damaged = mutateJson({ ...rules, model: options }, next);
      const target = damaged as { model?: object } | null;
      if (typeof target?.model === 'object' && target.model !== null) {
        target.model = { vocab, merges, ...target.model };
        if (next() < 0.1) target.model = mutateJson(target.model, next) as object;
      }
      ask(damaged, kind === llama.json ? { ...tokenizerConfig, ...llama.config } : tokenizerConfig);
    }));
});

test('valid files of the kinds above are read', async () => {
  await readFolder({ 'model.safetensors': weights });
  parseModelConfig(validConfig());
  parseModelConfig(JSON.parse(readFileSync(new URL('cropping-q4/config.json', goldenFolder), 'utf8')));
});

afterAll(() => {
  const seconds = (performance.now() - started) / 1000;
  console.log(`${total} damaged files in ${seconds.toFixed(1)} s`);
  expect(total).toBeGreaterThanOrEqual(10_000);
  expect(seconds).toBeLessThan(60);
});
