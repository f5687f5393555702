import {
  activation,
  file,
  known,
  layerCounts,
  maxCacheElements,
  unknownArchitecture,
} from './config/limits.ts';
import { parseQuantization } from './config/quantization.ts';
import { parseSpatial } from './config/spatial.ts';
import { parseTasks } from './config/tasks.ts';
import { parseText } from './config/text.ts';
import { parseAspect } from './config/tiling.ts';
import type { ModelConfig } from './config/types.ts';
import { llavaTower, parseVision } from './config/vision.ts';
import { Fields } from './fields.ts';
import { visualTokenRange } from './visual.ts';

export type * from './config/types.ts';

/** By architecture: its `model_type`, and whether what is left out has Hugging Face's defaults. */
const architectures = {
  LlavaSpForConditionalGeneration: { modelType: 'llava_sp', hugging: false },
  // As Hugging Face writes it, which is what MLX keeps of a LLaVA that it quantises.
  LlavaForConditionalGeneration: { modelType: 'llava', hugging: true },
} as const;

/** The id of `<image>` where a Hugging Face LLaVA does not say. */
const LLAVA_IMAGE_TOKEN = 32_000;

/**
 * Reads an on-device `config.json`, already parsed from JSON; that of a Hugging Face LLaVA-1.5 is one as it is.
 *
 * Defaults, those of Hugging Face: `vision_feature_layer` -2 (-1 for InternViT), `image_aspect_ratio` "original" (no padding, as in
 * LLaVA's own code), `num_key_value_heads` = `num_attention_heads`, `head_dim` = `hidden_size / num_attention_heads`,
 * `layer_norm_eps` 1e-5 (1e-6 for SigLIP and InternViT), `rms_norm_eps` 1e-5 (Qwen2 1e-6), `rope_theta` 10000,
 * `tie_word_embeddings` false, `attention_bias` false (Qwen2 true), `num_channels` 3, activations quick_gelu (CLIP),
 * gelu_pytorch_tanh (SigLIP), gelu (InternViT), silu (text) and gelu (projector), detail `stride` 2, `kernel_sizes`
 * `floor(G * i / N)`, `extractor` "conv". `image_aspect_ratio` "square" is LLaVA's other name for "original": the image is not
 * padded. A `LlavaForConditionalGeneration` may leave out what its configuration classes know.
 *
 * @throws {LoadError} `CONFIG_INVALID` naming the field, what was found and what was wanted.
 * @throws {UnsupportedError} `ARCHITECTURE_UNKNOWN` listing what is known.
 */
export function parseModelConfig(json: unknown): ModelConfig {
  const config = Fields.of(json, file);
  const architecture = parseArchitecture(config);
  const { modelType, hugging } = architectures[architecture];
  known(config, 'model_type', [modelType], modelType);
  const part = (key: string, absent: object): Fields =>
    hugging && !config.has(key) ? Fields.of(absent, file) : config.fields(key);
  const vision = parseVision(part('vision_config', llavaTower), hugging);
  const text = parseText(part('text_config', {}), hugging);
  const strategy = vision.type === 'siglip' ? 'full' : 'default';
  config.oneOf('vision_feature_select_strategy', [strategy], strategy);
  const last = vision.type === 'intern_vit' ? -1 : -2;
  const visionFeatureLayer = config.integer('vision_feature_layer', { min: -layerCounts.max, max: -1 }, last);
  if (-visionFeatureLayer > vision.layers + 1) {
    throw config.error(
      'vision_feature_layer',
      `-1 to ${-vision.layers - 1} with ${vision.layers} vision layers`,
    );
  }
  const downsample = config.oneOf('downsample_ratio', [1, 0.5], 1) === 0.5 ? 2 : 1;
  if (vision.grid % downsample !== 0)
    throw config.error('downsample_ratio', `1 with ${vision.grid} patches along a side`);
  const imageTokens = { min: 0, max: 2 ** 31 - 1 };
  const parsed: ModelConfig = {
    architecture,
    imageToken: config.integer('image_token_index', imageTokens, hugging ? LLAVA_IMAGE_TOKEN : undefined),
    visionFeatureLayer,
    ...parseAspect(config, vision),
    projectorAct: activation(config, 'projector_hidden_act', 'gelu'),
    downsample,
    vision,
    text,
    spatial: config.has('spatial_config') ? parseSpatial(config.fields('spatial_config'), vision) : null,
    tasks: parseTasks(config, vision),
    quantization: config.has('quantization') ? parseQuantization(config.fields('quantization')) : null,
  };
  checkContext(config, parsed);
  return parsed;
}

function parseArchitecture(config: Fields): ModelConfig['architecture'] {
  const names = Object.keys(architectures) as ModelConfig['architecture'][];
  const list = config.raw('architectures');
  if (!Array.isArray(list) || list.length !== 1) throw config.error('architectures', 'a list of one name');
  const found = names.find((name) => name === list[0]);
  if (found) return found;
  throw unknownArchitecture(`architecture ${JSON.stringify(list[0])?.slice(0, 80)}`, names);
}

function checkContext(config: Fields, parsed: ModelConfig): void {
  const { text } = parsed;
  const wrong = (wanted: string) =>
    config.has('text_config')
      ? config.fields('text_config').error('max_position_embeddings', wanted)
      : config.error('text_config', `given, with max_position_embeddings ${wanted}`);
  // Visual tokens alone must leave room for a question.
  const visual = visualTokenRange(parsed).most;
  if (visual >= text.context) throw wrong(`more than an image's ${visual} tokens`);
  const most = Math.floor(maxCacheElements / (2 * text.layers * text.kvHeads * text.headDim));
  if (text.context > most) throw wrong(`at most ${most} for keys and values of this size`);
}
