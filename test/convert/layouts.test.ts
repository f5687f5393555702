/** Published layouts as plans: which variant, what of it, and what is wrong with it. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { nodeHost } from '@llava-sp/node';
import type { Plan, PlanSources } from '../../packages/convert/src/contract.ts';
import { openPlan } from '../../packages/convert/src/plan.ts';
import { failure, folder, json, safetensors } from '../weights/files.ts';
import {
  languageDrafts,
  llavaConfig,
  preprocessorConfig,
  published,
  tokenizerFiles,
  towerConfig,
  towerDrafts,
  trainedDrafts,
  wholeFolders,
  withPlan,
  type Tiny,
} from './tiny_published.ts';

const golden = fileURLToPath(new URL('../golden/published/', import.meta.url));

async function publishedFolders(name: string): Promise<PlanSources> {
  const open = async (part: string) =>
    existsSync(`${golden}${name}/${part}`) ? nodeHost.openModel(`${golden}${name}/${part}`) : undefined;
  const [adapter, base, visionTower] = await Promise.all(['adapter', 'base', 'vision-tower'].map(open));
  return { checkpoint: adapter ?? (await nodeHost.openModel(`${golden}${name}/model`)), base, visionTower };
}

function tensor(plan: Plan, name: string) {
  const found = plan.tensors.find((one) => one.name === name);
  if (!found) throw new Error(`no ${name}`);
  return found;
}

describe('the published layouts, as their own libraries wrote them', () => {
  const layouts: [string, string, string, number][] = [
    ['lora-cropping', 'LLaVA-SP, LoRA on a base model', 'cropping, N = 6, DFI k = 4', 14],
    ['lora-pooling', 'LLaVA-SP, LoRA on a base model', 'pooling, N = 3, no DFI', 14],
    ['merged-cropping', 'LLaVA-SP, whole', 'cropping, N = 3, DFI k = 2', 0],
    ['llava-hf-old', "Hugging Face's LLaVA-1.5, whole", 'no spatial features', 0],
    ['llava-hf-new', "Hugging Face's LLaVA-1.5, whole", 'no spatial features', 0],
    ['llava-next', "Hugging Face's LLaVA-1.6, whole", 'no spatial features', 0],
    ['internvl2', 'InternVL, whole', 'no spatial features', 0],
    ['internvl2-sp', 'InternVL with LLaVA-SP, whole', 'cropping, N = 3, DFI k = 4', 0],
    ['siglip-qwen2', 'LLaVA-SP, whole', 'cropping, N = 3, DFI k = 4', 0],
    ['transformer-sfe', 'LLaVA-SP, whole', 'cropping by transformers, N = 2, no DFI', 0],
  ];

  test.each(layouts)('%s', async (name, layout, variant, adapted) => {
    const sources = await publishedFolders(name);
    await withPlan(sources, (plan) => {
      expect(plan).toMatchObject({ layout, variant });
      expect(plan.tensors.filter(({ lora }) => lora)).toHaveLength(adapted);
      for (const { source, rows, shape } of plan.tensors) {
        expect(rows[1] - rows[0]).toBe(shape[0]);
        expect(source?.shape.slice(1) ?? shape.slice(1)).toEqual(shape.slice(1));
      }
      // What the layout's own configuration says, in the form of the device; absent and null are the same.
      const wanted = JSON.parse(readFileSync(`${golden}${name}/golden/config.json`, 'utf8')) as Record<
        string,
        object
      >;
      const { text_config: text, spatial_config: spatial, ...rest } = wanted;
      expect(plan.config).toMatchObject(rest);
      expect(plan.config.text_config).toMatchObject({ ...text, eos_token_id: expect.anything() as unknown });
      const present = Object.entries(spatial ?? {}).filter(
        ([key, value]) => value !== null && key !== 'kernel_sizes',
      );
      if (spatial) expect(plan.config.spatial_config).toMatchObject(Object.fromEntries(present));
      else expect(plan.config.spatial_config).toBeUndefined();
    });
  });

  test('an adapter in a torch file says the same as one in safetensors', async () => {
    const sources = await publishedFolders('lora-cropping');
    const bin = await nodeHost.openModel(`${golden}lora-cropping/adapter-bin`);
    const { checkpoint } = sources;
    const from = (name: string) => (name === 'adapter_model.bin' ? bin : checkpoint);
    const mixed = {
      location: 'mixed',
      has: async (name: string) => name !== 'adapter_model.safetensors' && from(name).has(name),
      open: (name: string) => from(name).open(name),
    };
    const facts = (plan: Plan) =>
      plan.tensors.map(({ name, lora }) => [name, lora?.scale, lora?.a.shape, lora?.b.shape]);
    const first = await withPlan(sources, facts);
    expect(await withPlan({ ...sources, checkpoint: mixed }, facts)).toEqual(first);
    expect(first.some(([, scale]) => scale === 2)).toBe(true);
  });

  test("InternViT: the fused qkv by rows, LayerScale on the projection's rows, positions flat", async () => {
    await withPlan(await publishedFolders('internvl2'), (plan) => {
      const layer = 'vision_tower.vision_model.encoder.layers.0.';
      const parts = ['q', 'k', 'v'].map((letter) => tensor(plan, `${layer}self_attn.${letter}_proj.weight`));
      const [width] = parts[0].shape;
      expect(parts.map(({ rows }) => rows)).toEqual([
        [0, width],
        [width, 2 * width],
        [2 * width, 3 * width],
      ]);
      expect(new Set(parts.map(({ source }) => source?.name)).size).toBe(1);
      for (const kind of ['weight', 'bias']) {
        expect(tensor(plan, `${layer}self_attn.out_proj.${kind}`).rowScale?.name).toMatch(/\.ls1$/);
        expect(tensor(plan, `${layer}mlp.fc2.${kind}`).rowScale?.name).toMatch(/\.ls2$/);
        expect(tensor(plan, `${layer}mlp.fc1.${kind}`).rowScale).toBeNull();
      }
      expect(
        tensor(plan, 'vision_tower.vision_model.embeddings.position_embedding.weight').shape,
      ).toHaveLength(2);
    });
  });

  test('layers behind the selected one are left out, and listed', async () => {
    await withPlan(await publishedFolders('merged-cropping'), (plan) => {
      expect(plan.tensors.some(({ name }) => name.includes('encoder.layers.2.'))).toBe(false);
      expect(plan.leftover.some((name) => name.includes('encoder.layers.2.'))).toBe(true);
      expect(plan.leftover.some((name) => name.includes('post_layernorm'))).toBe(true);
    });
  });
});

describe('variants are told by names and shapes', () => {
  const counts: readonly [number, readonly number[]][] = [
    [1, [24]],
    [3, [8, 16, 24]],
    [6, [4, 8, 12, 16, 20, 24]],
    [12, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]],
  ];
  const all = counts.flatMap(([n, kernels]) =>
    (['cropping', 'pooling'] as const).flatMap((spatial) =>
      [undefined, 4, 8, 12, 16].map((detail) => ({ n, spatial, kernels, detail, grid: 24 })),
    ),
  );
  test.each(all)('$spatial, N = $n, DFI k = $detail', async ({ n, ...tiny }: Tiny & { n: number }) => {
    const type = n === 1 ? 'cropping' : tiny.spatial;
    await withPlan(wholeFolders(tiny), (plan) => {
      expect(plan.config.spatial_config).toEqual({
        type,
        num_tokens: n,
        feature_size: 4,
        ...(tiny.detail ? { detail: { kernel_size: tiny.detail, stride: 2 } } : {}),
      });
      const dfi = tiny.detail ? `DFI k = ${tiny.detail}` : 'no DFI';
      expect(plan.variant).toBe(`${type}, N = ${n}, ${dfi}`);
      expect(plan.leftover).toEqual(leftOfTower);
    });
  });

  const leftOfTower = Object.keys(towerDrafts(published))
    .filter((name) => /layers\.1\.|post_layernorm/.test(name))
    .sort();

  test('without any: plain LLaVA', () =>
    withPlan(wholeFolders({ ...published, spatial: null }), (plan) => {
      expect(plan).toMatchObject({ layout: 'LLaVA, whole', variant: 'no spatial features' });
      expect(plan.config.spatial_config).toBeUndefined();
    }));

  test('kernels of another rule are written down', () =>
    withPlan(wholeFolders({ ...published, kernels: [3, 10, 24] }), (plan) => {
      expect(plan.config.spatial_config).toMatchObject({ num_tokens: 3, kernel_sizes: [3, 10, 24] });
    }));

  test('a config that says otherwise does not count', () => {
    const lying = json({ ...llavaConfig(), spatial_type: 'pooling', num_spatial_tokens: 3, dfi: false });
    return withPlan(wholeFolders(published, { 'config.json': lying }), (plan) => {
      expect(plan.variant).toBe('cropping, N = 6, DFI k = 16');
    });
  });

  test('tensors of the tower inside the checkpoint, under any of its prefixes', async () => {
    for (const prefix of [
      'model.vision_tower.vision_tower.',
      'vision_tower.',
      'model.',
      'model.vision_tower.',
    ]) {
      const inside = Object.entries(towerDrafts(published)).map(
        ([name, draft]) => [prefix + name, draft] as const,
      );
      const { checkpoint } = wholeFolders(published, {}, Object.fromEntries(inside));
      const visionTower = folder({
        'config.json': json(towerConfig(published)),
        'preprocessor_config.json': json(preprocessorConfig),
      });
      await withPlan({ checkpoint, visionTower }, (plan) => {
        expect(plan.leftover).toEqual(leftOfTower.map((name) => prefix + name));
      });
    }
  });

  test('the image token: a new one behind the vocabulary, or the one the tokenizer knows', async () => {
    await withPlan(wholeFolders(), ({ tokenizer, config }) => {
      expect(tokenizer).toMatchObject({ form: 'sentencepiece', prompt: 'vicuna_v1' });
      expect(tokenizer).toMatchObject({ image: { token: '<image>', id: 16, absent: true } });
      expect(config.image_token_index).toBe(16);
    });
    const known = wholeFolders(published, { 'added_tokens.json': json({ '<image>': 3 }) });
    await withPlan(known, ({ tokenizer }) => {
      expect(tokenizer).toMatchObject({ image: { token: '<image>', id: 3, absent: false } });
    });
  });

  test('ends of an answer, licence, preprocessing, sources', () => {
    const card = new TextEncoder().encode('---\nlanguage: en\nlicense: cc-by-nc-4.0\n---\n# A model\n');
    const files = { 'README.md': card, 'generation_config.json': json({ eos_token_id: [2, 5] }) };
    return withPlan(wholeFolders(published, files), (plan) => {
      expect(plan.license).toBe('cc-by-nc-4.0');
      expect(plan.generation).toEqual({ eos_token_id: [2, 5] });
      expect(plan.config.text_config).toMatchObject({ bos_token_id: 1, eos_token_id: [2, 5] });
      expect({ ...plan.preprocessor, feature_extractor_type: 'CLIPFeatureExtractor' }).toEqual(
        preprocessorConfig,
      );
      expect(plan.sources.map(({ name }) => name)).toEqual(['model.safetensors', 'model.safetensors']);
    });
  });
});

describe('what is missing, wrong or strange', () => {
  const without = (pattern: RegExp): Uint8Array => {
    const all = Object.entries({ ...languageDrafts(), ...trainedDrafts(published) });
    return safetensors(Object.fromEntries(all.filter(([name]) => !pattern.test(name))));
  };

  test('missing tensors are listed by name', async () => {
    const files = { 'model.safetensors': without(/gate_proj|model\.norm/) };
    const error = await failure(() => openPlan(wholeFolders(published, files)));
    expect(error.code).toBe('WEIGHTS_MISSING');
    expect(error.message).toMatch(/lacks 2 of .*layers\.0\.mlp\.gate_proj\.weight, .*model\.norm\.weight/);
  });

  test('a shape that does not fit its configuration', async () => {
    const config = json({ ...llavaConfig(), vocab_size: 32 });
    const error = await failure(() => openPlan(wholeFolders(published, { 'config.json': config })));
    expect(error.code).toBe('WEIGHTS_SHAPE');
    expect(error.message).toMatch(/"model\.embed_tokens\.weight" must be \[32, 8\].*found \[16, 8\]/);
  });

  test('leftover tensors are listed, and do no harm', () =>
    withPlan(
      wholeFolders(published, {}, { 'model.reward_head.weight': { dtype: 'F16', shape: [1, 8] } }),
      (plan) => {
        expect(plan.leftover).toContain('model.reward_head.weight');
      },
    ));

  const strange: [string, string, number[]][] = [
    ['a norm on queries', 'model.layers.0.self_attn.q_norm.weight', [4]],
    ['a bias where the model has none', 'model.layers.0.self_attn.o_proj.bias', [8]],
    ['a spatial module too many', 'model.query_projector.1.weight', [4, 4]],
  ];
  test.each(strange)('a layer in use with %s', async (_, name, shape) => {
    const tiny = name.includes('query') ? { ...published, detail: undefined } : published;
    const error = await failure(() => openPlan(wholeFolders(tiny, {}, { [name]: { dtype: 'F16', shape } })));
    expect(error.code).toBe('CHECKPOINT_UNKNOWN');
    expect(error.message).toMatch(/(q_norm|o_proj|query_proj)/);
  });

  test('spatial modules of another grid, or of both kinds', async () => {
    const small = await failure(() => openPlan(wholeFolders({ ...published, kernels: [4, 8, 12] })));
    expect(small).toMatchObject({ code: 'CHECKPOINT_UNKNOWN' });
    expect(small.message).toMatch(/12 x 12 patches.*24 x 24/);
    const tensors = { 'model.transformer_24.encoder.norm.weight': { dtype: 'F16', shape: [4] } };
    const both = await failure(() => openPlan(wholeFolders(published, {}, tensors)));
    expect(both.message).toMatch(/convolutions .* and transformers/);
    const half = { ...trainedDrafts({ ...published, spatial: 'pooling' }), ...languageDrafts() };
    delete half['model.conv_8.1.weight'];
    half['model.conv_8.weight'] = { dtype: 'F16', shape: [4, 4, 8, 8] };
    const mixed = await failure(() =>
      openPlan(wholeFolders(published, { 'model.safetensors': safetensors(half) })),
    );
    expect(mixed.message).toMatch(/only the convolutions of 4, 12, 16, 20 follow/);
  });

  test('the same tensor twice', async () => {
    const tensors = { 'model.model.norm.weight': { dtype: 'F16', shape: [8] } };
    const error = await failure(() => openPlan(wholeFolders(published, {}, tensors)));
    expect(error).toMatchObject({ code: 'CHECKPOINT_UNKNOWN' });
  });

  test('weights that are no floats', async () => {
    const tensors = { 'model.norm.weight': { dtype: 'I64', shape: [8] } };
    const error = await failure(() => openPlan(wholeFolders(published, {}, tensors)));
    expect(error).toMatchObject({ code: 'WEIGHTS_DTYPE' });
  });

  const configs: [string, object, string][] = [
    ['scaled rotary positions', { rope_scaling: { type: 'linear', factor: 2 } }, 'CONFIG_INVALID'],
    ['another projector', { mm_projector_type: 'linear' }, 'CONFIG_INVALID'],
    ['the class token too', { mm_vision_select_feature: 'cls_patch' }, 'CONFIG_INVALID'],
    ['tiles of another rule', { image_aspect_ratio: 'anyres_max_9' }, 'CONFIG_INVALID'],
    ['no vision layer', { mm_vision_select_layer: -9 }, 'CONFIG_INVALID'],
  ];
  test.each(configs)('refused: %s', async (_, change, code) => {
    const config = json({ ...llavaConfig(), ...change });
    const error = await failure(() => openPlan(wholeFolders(published, { 'config.json': config })));
    expect(error.code).toBe(code);
  });

  test('another decoder', async () => {
    const text = { ...llavaConfig(), model_type: 'internlm2' };
    const config = json({ model_type: 'internvl_chat', llm_config: text, vision_config: {} });
    const error = await failure(() => openPlan(wholeFolders(published, { 'config.json': config })));
    expect(error.code).toBe('ARCHITECTURE_UNKNOWN');
  });

  test('what is on-device and quantised already loads as it is', async () => {
    for (const name of ['published/mlx-q4/model', 'cropping-q4']) {
      const checkpoint = await nodeHost.openModel(`${golden}../${name}`);
      const error = await failure(() => openPlan({ checkpoint }));
      expect(error).toMatchObject({ code: 'CHECKPOINT_UNKNOWN' });
      expect(error.message).toMatch(/on-device folder already/);
      expect(error.fix).toMatch(/as it is/);
    }
  });

  test('no tower, no tokenizer, no configuration, no weights', async () => {
    const { checkpoint, visionTower } = wholeFolders();
    const noTower = await failure(() => openPlan({ checkpoint }));
    expect(noTower).toMatchObject({ code: 'MODEL_FILE_MISSING' });
    expect(noTower.message).toMatch(/vision tower \(openai\/clip-vit-large-patch14-336\)/);
    const bare = folder({
      'config.json': json(llavaConfig()),
      'model.safetensors': safetensors({ ...languageDrafts(), ...trainedDrafts(published) }),
    });
    const noTokenizer = await failure(() => openPlan({ checkpoint: bare, visionTower }));
    expect(noTokenizer).toMatchObject({ code: 'MODEL_FILE_MISSING' });
    expect(noTokenizer.message).toMatch(/tokenizer/);
    for (const files of [tokenizerFiles, { 'model.safetensors': safetensors(languageDrafts()) }]) {
      const error = await failure(() => openPlan({ checkpoint: folder(files), visionTower }));
      expect(error).toMatchObject({ code: 'MODEL_FILE_MISSING' });
    }
  });

  test('aborted: at once', async () => {
    const signal = AbortSignal.abort();
    expect(await failure(() => openPlan(wholeFolders(), signal))).toMatchObject({ code: 'ABORTED' });
  });
});
