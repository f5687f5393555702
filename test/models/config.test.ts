/** Configurations of the families beside LLaVA-SP on CLIP and LLaMA. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { parseModelConfig } from '../../packages/core/src/models/config.ts';
import { mostTiles, visualTokenCount, visualTokenRange } from '../../packages/core/src/models/visual.ts';
import { failure } from '../weights/files.ts';
import { set, validConfig } from '../weights/config.ts';

type Json = Record<string, unknown>;

function changed(changes: Json, base = validConfig()): Json {
  for (const [path, value] of Object.entries(changes)) set(base, path, value);
  return base;
}

/** InternVL2-1B with the spatial tokens of LLaVA-SP. */
function internVl(): Json {
  return changed({
    image_aspect_ratio: 'dynamic',
    downsample_ratio: 0.5,
    vision_feature_layer: undefined,
    image_token_index: 151_648,
    quantization: undefined,
    vision_config: {
      model_type: 'intern_vit',
      hidden_size: 1024,
      intermediate_size: 4096,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      image_size: 448,
      patch_size: 14,
      qkv_bias: true,
      qk_normalization: false,
    },
    text_config: {
      model_type: 'qwen2',
      hidden_size: 896,
      intermediate_size: 4864,
      num_hidden_layers: 24,
      num_attention_heads: 14,
      num_key_value_heads: 2,
      vocab_size: 151_655,
      rope_theta: 1_000_000,
      max_position_embeddings: 32_768,
    },
    spatial_config: { type: 'cropping', num_tokens: 6, feature_size: 512 },
  });
}

const anyres = {
  image_aspect_ratio: 'anyres',
  mm_patch_merge_type: 'spatial_unpad',
  image_grid_pinpoints: [
    [336, 672],
    [672, 336],
    [672, 672],
    [1008, 336],
    [336, 1008],
  ],
  spatial_config: null,
};

/** llava-1.5-7b-hf as published: what its configuration classes know is left out. */
const hugging: Json = {
  architectures: ['LlavaForConditionalGeneration'],
  ignore_index: -100,
  image_token_index: 32_000,
  model_type: 'llava',
  pad_token_id: 32_001,
  projector_hidden_act: 'gelu',
  text_config: {
    _name_or_path: 'lmsys/vicuna-7b-v1.5',
    architectures: ['LlamaForCausalLM'],
    max_position_embeddings: 4096,
    model_type: 'llama',
    rms_norm_eps: 1e-5,
    torch_dtype: 'float16',
    vocab_size: 32_064,
  },
  vision_config: {
    hidden_size: 1024,
    image_size: 336,
    intermediate_size: 4096,
    model_type: 'clip_vision_model',
    num_attention_heads: 16,
    num_hidden_layers: 24,
    patch_size: 14,
    projection_dim: 768,
    vocab_size: 32_000,
  },
  vision_feature_layer: -2,
  vision_feature_select_strategy: 'default',
  vocab_size: 32_064,
};

describe('InternVL', () => {
  test('a tower of its own, half as many tokens along a side, tiles, Qwen2', () => {
    const config = parseModelConfig(internVl());
    expect(config.vision).toMatchObject({
      type: 'intern_vit',
      grid: 32,
      act: 'gelu',
      eps: 1e-6,
      qkNorm: false,
    });
    expect(config.text).toMatchObject({
      type: 'qwen2',
      kvHeads: 2,
      headDim: 64,
      attentionBias: true,
      eps: 1e-6,
    });
    expect(config).toMatchObject({ visionFeatureLayer: -1, downsample: 2, imageAspectRatio: 'original' });
    expect(config.tiling).toEqual({ type: 'dynamic', min: 1, max: 12, thumbnail: true });
    expect(config.spatial?.kernels).toEqual([5, 10, 16, 21, 26, 32]);
    expect(visualTokenCount(config)).toBe(6 + 256);
    expect(mostTiles(config)).toBe(13);
    expect(visualTokenRange(config)).toEqual({ least: 262, most: 13 * 262 });
  });

  test.each([
    ['vision_config.norm_type', 'rms_norm'],
    ['downsample_ratio', 0.25],
    ['max_dynamic_patch', 1000],
    ['min_dynamic_patch', 13],
    ['use_thumbnail', 'yes'],
    ['text_config.use_sliding_window', true],
    ['text_config.max_position_embeddings', 13 * 262],
  ])('%s must not be %j', async (path, value) => {
    const error = await failure(() => parseModelConfig(changed({ [path]: value }, internVl())));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(path);
  });
});

describe('LLaVA-1.6', () => {
  test('the largest picture: 2 x 2 tiles and the whole, a newline for each row', () => {
    const config = parseModelConfig(changed(anyres));
    expect(config.tiling).toMatchObject({ type: 'anyres', tile: 336, merge: 'spatial_unpad' });
    expect(mostTiles(config)).toBe(5);
    // A picture that is a line keeps nothing of its tiles.
    expect(visualTokenRange(config)).toEqual({ least: 576, most: 576 + 48 * 49 });
  });

  test.each([
    [undefined],
    [[]],
    [[[336, 500]]],
    [[[336, 0]]],
    [[[336 * 8, 336 * 9]]],
    [[['336', '672']]],
    [[[336]]],
  ])('image_grid_pinpoints must not be %j', async (value) => {
    const error = await failure(() => parseModelConfig(changed({ ...anyres, image_grid_pinpoints: value })));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain('image_grid_pinpoints must be ');
  });
});

describe('SigLIP', () => {
  const siglip = {
    'vision_config.model_type': 'siglip_vision_model',
    vision_feature_select_strategy: 'full',
  };

  test("no class token, its own activation and epsilon where they aren't given", () => {
    const left = { 'vision_config.hidden_act': undefined, 'vision_config.layer_norm_eps': undefined };
    const { vision } = parseModelConfig(changed({ ...siglip, ...left }));
    expect(vision).toMatchObject({ type: 'siglip', act: 'gelu_tanh', eps: 1e-6 });
  });

  test('features without a class token are all of them', async () => {
    const wrong = { ...siglip, vision_feature_select_strategy: 'default' };
    expect((await failure(() => parseModelConfig(changed(wrong)))).message).toContain('must be "full"');
  });
});

describe('the transformer extractor', () => {
  const extractor = { 'spatial_config.extractor': 'transformer', 'spatial_config.transformer': {} };

  test('is of the vision width, with the layers of the paper', () => {
    const config = parseModelConfig(changed({ ...extractor, 'spatial_config.feature_size': 1024 }));
    expect(config.spatial?.transformer).toEqual({ layers: 4, heads: 8, mlp: 1024 });
  });

  test.each([
    ['spatial_config.feature_size', 512],
    ['spatial_config.transformer', undefined],
    ['spatial_config.transformer.heads', 7],
    ['spatial_config.transformer.layers', 0],
  ])('%s must not be %j', async (path, value) => {
    const json = changed({
      ...structuredClone(extractor),
      'spatial_config.feature_size': 1024,
      [path]: value,
    });
    const error = await failure(() => parseModelConfig(json));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(path);
  });
});

describe("Hugging Face's own LLaVA", () => {
  test('as published', () => {
    const config = parseModelConfig(structuredClone(hugging));
    expect(config).toMatchObject({ imageToken: 32_000, visionFeatureLayer: -2, spatial: null, tiling: null });
    expect(config.vision).toMatchObject({ type: 'clip', grid: 24, act: 'quick_gelu', eps: 1e-5 });
    expect(config.text).toMatchObject({
      width: 4096,
      mlp: 11_008,
      layers: 32,
      heads: 32,
      kvHeads: 32,
      vocab: 32_064,
      context: 4096,
      ropeTheta: 10_000,
      bos: 1,
      eos: [2],
      tied: false,
    });
  });

  test('with the rotary base where newer releases write it', () => {
    const rope = { 'text_config.rope_parameters': { rope_type: 'default', rope_theta: 500_000 } };
    expect(parseModelConfig(changed(rope, structuredClone(hugging))).text.ropeTheta).toBe(500_000);
  });

  test('without any sub-configuration it is the defaults of the classes, whose context an image fits', () => {
    const json = { architectures: ['LlavaForConditionalGeneration'], model_type: 'llava' };
    const { vision, text } = parseModelConfig(json);
    expect(vision).toMatchObject({ width: 1024, grid: 24 });
    expect(text).toMatchObject({ width: 4096, context: 2048, eps: 1e-6 });
  });

  test('quantised by MLX, as MLX writes it', async () => {
    const file = new URL('../golden/published/mlx-q4/model/config.json', import.meta.url);
    const config = parseModelConfig(JSON.parse(await readFile(file, 'utf8')));
    expect(config).toMatchObject({
      architecture: 'LlavaForConditionalGeneration',
      quantization: { group: 32, bits: 4 },
    });
  });
});
