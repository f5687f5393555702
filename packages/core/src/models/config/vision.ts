import type { Fields } from '../fields.ts';
import { activation, epsilons, headCounts, known, layerCounts, widths } from './limits.ts';
import type { VisionConfig } from './types.ts';

/** What Hugging Face takes where a `vision_config` of LLaVA leaves a size out; `null`: it must be there. */
interface Sizes {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly image_size: number;
  readonly patch_size: number;
}

interface Tower {
  readonly type: VisionConfig['type'];
  readonly act: string;
  readonly eps: number;
  readonly sizes: Sizes | null;
}

const base = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  image_size: 224,
};

const towers = {
  clip_vision_model: {
    type: 'clip',
    act: 'quick_gelu',
    eps: 1e-5,
    sizes: { ...base, patch_size: 32 },
  },
  siglip_vision_model: {
    type: 'siglip',
    act: 'gelu_pytorch_tanh',
    eps: 1e-6,
    sizes: { ...base, patch_size: 16 },
  },
  intern_vit: { type: 'intern_vit', act: 'gelu', eps: 1e-6, sizes: null },
} satisfies Record<string, Tower>;

/** The tower of a Hugging Face LLaVA whose configuration has no `vision_config`: CLIP-ViT-L/14-336. */
export const llavaTower = {
  model_type: 'clip_vision_model',
  hidden_size: 1024,
  intermediate_size: 4096,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  image_size: 336,
  patch_size: 14,
} as const;

/** `vision_config`. `hugging`: sizes that are left out have Hugging Face's defaults. */
export function parseVision(vision: Fields, hugging: boolean): VisionConfig {
  const names = Object.keys(towers) as (keyof typeof towers)[];
  const tower: Tower = towers[known(vision, 'model_type', names, 'clip_vision_model')];
  const absent: Partial<Sizes> = (hugging && tower.sizes) || {};
  const width = vision.integer('hidden_size', widths, absent.hidden_size);
  const heads = vision.integer('num_attention_heads', headCounts, absent.num_attention_heads);
  if (width % heads !== 0) throw vision.error('num_attention_heads', `a divisor of hidden_size ${width}`);
  const imageSize = vision.integer('image_size', { min: 1, max: 4096 }, absent.image_size);
  const patch = vision.integer('patch_size', { min: 1, max: 256 }, absent.patch_size);
  if (imageSize % patch !== 0) throw vision.error('patch_size', `a divisor of image_size ${imageSize}`);
  const grid = imageSize / patch;
  if (grid > 256) throw vision.error('image_size', `at most 256 patches of ${patch} pixels`);
  const intern = tower.type === 'intern_vit';
  // InternViT's other norm has no published model of this family.
  if (intern) vision.oneOf('norm_type', ['layer_norm'], 'layer_norm');
  return {
    type: tower.type,
    width,
    mlp: vision.integer('intermediate_size', widths, absent.intermediate_size),
    layers: vision.integer('num_hidden_layers', layerCounts, absent.num_hidden_layers),
    heads,
    channels: vision.oneOf('num_channels', [3], 3),
    imageSize,
    patch,
    grid,
    act: activation(vision, 'hidden_act', tower.act),
    eps: vision.number('layer_norm_eps', epsilons, tower.eps),
    qkvBias: intern ? vision.boolean('qkv_bias', true) : true,
    qkNorm: intern && vision.boolean('qk_normalization', false),
  };
}
