import { describe, expect, test } from 'vitest';
import { UnsupportedError } from '../../packages/core/src/errors/index.ts';
import { parseModelConfig } from '../../packages/core/src/models/config.ts';
import { failure } from './files.ts';
import { set, validConfig } from './config.ts';

describe('parseModelConfig', () => {
  test('reads the published Cropping model', () => {
    const { vision, text, spatial, quantization, ...rest } = parseModelConfig(validConfig());
    expect(rest).toEqual({
      architecture: 'LlavaSpForConditionalGeneration',
      imageToken: 31_999,
      visionFeatureLayer: -2,
      imageAspectRatio: 'pad',
      tiling: null,
      projectorAct: 'gelu',
      downsample: 1,
      tasks: {
        boxes: 'unit',
        ground: 'Please provide the bounding box coordinate of the region this sentence describes: {phrase}',
        describe: 'Please provide a short description for this region: {box}',
        caption: {
          short: 'Provide a one-sentence caption for the provided image.',
          detailed: 'Describe this image in detail.',
        },
      },
    });
    expect(vision).toMatchObject({
      type: 'clip',
      width: 1024,
      grid: 24,
      heads: 16,
      act: 'quick_gelu',
      eps: 1e-5,
    });
    expect(text).toMatchObject({ type: 'llama', kvHeads: 32, headDim: 128, vocab: 32_000, bos: 1, eos: [2] });
    expect(spatial).toEqual({
      type: 'cropping',
      tokens: 6,
      features: 512,
      kernels: [4, 8, 12, 16, 20, 24],
      transformer: null,
      detail: { kernel: 16, stride: 2, positions: 25 },
    });
    expect(quantization).toEqual({
      group: 64,
      bits: 4,
      layers: new Map<string, unknown>([
        ['language_model.lm_head', { group: 64, bits: 8 }],
        ['multi_modal_projector.linear_1', false],
      ]),
    });
  });

  test('fills in what Hugging Face leaves out', () => {
    const config = validConfig();
    for (const path of [
      'vision_feature_layer',
      'vision_config.layer_norm_eps',
      'vision_config.hidden_act',
      'text_config.rope_theta',
      'text_config.num_key_value_heads',
      'text_config.tie_word_embeddings',
      'text_config.eos_token_id',
      'quantization',
    ]) {
      set(config, path, undefined);
    }
    set(config, 'text_config.bos_token_id', null);
    set(config, 'spatial_config', null);
    const parsed = parseModelConfig(config);
    expect(parsed).toMatchObject({ visionFeatureLayer: -2, spatial: null, quantization: null });
    expect(parsed.vision).toMatchObject({ eps: 1e-5, act: 'quick_gelu' });
    expect(parsed.text).toMatchObject({
      ropeTheta: 10_000,
      kvHeads: 32,
      headDim: 128,
      tied: false,
      attentionBias: false,
      bos: null,
      eos: [],
    });
  });

  test('takes grouped heads, a head size of its own, several ends, N = 1 and no DFI', () => {
    const config = validConfig();
    set(config, 'text_config.num_key_value_heads', 4);
    set(config, 'text_config.head_dim', 64);
    set(config, 'text_config.eos_token_id', [2, 7]);
    set(config, 'spatial_config', { type: 'pooling', num_tokens: 1, feature_size: 8 });
    const { text, spatial } = parseModelConfig(config);
    expect(text).toMatchObject({ kvHeads: 4, headDim: 64, eos: [2, 7] });
    expect(spatial).toEqual({
      type: 'pooling',
      tokens: 1,
      features: 8,
      kernels: [24],
      transformer: null,
      detail: null,
    });
  });

  const bad: [string, unknown][] = [
    ['architectures', 'LlavaSp'],
    ['image_token_index', -1],
    ['image_token_index', undefined],
    ['vision_feature_layer', 0],
    ['vision_feature_layer', -26],
    ['vision_feature_select_strategy', 'full'],
    ['image_aspect_ratio', 'stretch'],
    ['projector_hidden_act', 'relu'],
    ['projector_hidden_act', 'toString'],
    ['vision_config', 5],
    ['vision_config.hidden_size', '1024'],
    ['vision_config.hidden_size', 1e12],
    ['vision_config.num_attention_heads', 15],
    ['vision_config.num_hidden_layers', 0],
    ['vision_config.patch_size', 13],
    ['vision_config.image_size', 1e9],
    ['vision_config.num_channels', 4],
    ['vision_config.layer_norm_eps', -1],
    ['text_config', undefined],
    ['text_config.hidden_size', NaN],
    ['text_config.num_key_value_heads', 5],
    ['text_config.num_attention_heads', 33],
    ['text_config.head_dim', 63],
    ['text_config.vocab_size', 1e15],
    ['text_config.vocab_size', 4_000_000],
    ['text_config.max_position_embeddings', 582],
    ['text_config.max_position_embeddings', 1_000_000],
    ['text_config.rope_scaling', { type: 'linear', factor: 2 }],
    ['text_config.rope_theta', 0],
    ['text_config.hidden_act', 'gelu'],
    ['text_config.bos_token_id', 32_000],
    ['text_config.eos_token_id', [2, -1]],
    ['text_config.eos_token_id', 'x'],
    ['text_config.tie_word_embeddings', 'yes'],
    ['spatial_config.type', 'transformer'],
    ['spatial_config.num_tokens', 25],
    ['spatial_config.kernel_sizes', [4, 8]],
    ['spatial_config.kernel_sizes', [4, 8, 12, 16, 20, 20]],
    ['spatial_config.kernel_sizes', [0, 8, 12, 16, 20, 24]],
    ['spatial_config.extractor', 'mlp'],
    ['downsample_ratio', 0.25],
    ['text_config.use_sliding_window', true],
    ['text_config.rope_parameters', 'yarn'],
    ['spatial_config.num_tokens', 0],
    ['spatial_config.feature_size', 60_000],
    ['spatial_config.detail.kernel_size', 25],
    ['spatial_config.detail.stride', 0],
    ['quantization.bits', 3],
    ['quantization.group_size', 48],
    ['quantization.mode', 'mxfp4'],
  ];
  test.each(bad)('%s must not be %j: the message says so', async (path, value) => {
    const config = validConfig();
    set(config, path, value);
    const error = await failure(() => parseModelConfig(config));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(`config.json: ${path} must be `);
    expect(error.message).toContain('found ');
  });

  test.each([
    ['architectures', ['LlavaOneForConditionalGeneration'], 'LlavaSpForConditionalGeneration'],
    ['model_type', 'llava', 'llava_sp'],
    ['vision_config.model_type', 'dinov2', 'clip_vision_model'],
    ['text_config.model_type', 'mamba', 'llama'],
  ])('an unknown %s lists the known', async (path, value, known) => {
    const config = validConfig();
    set(config, path, value);
    const error = await failure(() => parseModelConfig(config));
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error.code).toBe('ARCHITECTURE_UNKNOWN');
    expect(error.message).toContain(`Known: ${known}`);
  });

  test.each([[null], [5], ['x'], [[]]])('%j is no configuration', async (value) => {
    expect((await failure(() => parseModelConfig(value))).code).toBe('CONFIG_INVALID');
  });
});
