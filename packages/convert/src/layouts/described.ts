/** What the configurations of published folders say, in the one form that the device's `config.json` has. */
import { LoadError, UnsupportedError, type ModelFiles } from '@llava-sp/core';
import {
  Fields,
  llavaTower,
  parseText,
  parseVision,
  type Activation,
  type TextConfig,
  type VisionConfig,
} from '@llava-sp/core/formats';
import { readJson } from '../sources/checkpoint.ts';
import type { Located } from './located.ts';
import { languageRoot, visionRoot } from './names.ts';

type Json = Readonly<Record<string, unknown>>;

/** Whose configuration it is: LLaVA's own code, Hugging Face's two LLaVAs, or InternVL's own code. */
export type Dialect = 'llava' | 'llava-hf' | 'llava-next' | 'internvl';

/** The `config.json` of the checkpoint, and of the folder of its vision tower. */
export interface Described {
  readonly dialect: Dialect;
  readonly config: Fields;
  /** Of the language model alone. */
  readonly text: Json;
  /** Of the vision tower alone. */
  readonly vision: Json;
}

/** For messages. */
const file = 'config.json';
/** MistralConfig's defaults: without its sliding window it is a LLaMA. */
const mistral = {
  intermediate_size: 14_336,
  num_key_value_heads: 8,
  max_position_embeddings: 131_072,
  sliding_window: 4096,
};

/** InternVL's code resizes to whole tiles and has these constants; its `preprocessor_config.json` repeats them. */
const internPixels = { image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] };

/** The resolutions of LLaVA-1.6 where a configuration leaves them out, `[height, width]`. */
const nextPinpoints = [
  [336, 672],
  [672, 336],
  [672, 672],
  [1008, 336],
  [336, 1008],
];

/**
 * @param visionTower a folder of the tower alone; its configuration is taken before the checkpoint's.
 * @throws {LoadError} `CONFIG_INVALID`, `MODEL_FILE_MISSING`.
 */
export async function readDescribed(
  config: Json,
  visionTower: ModelFiles | undefined,
  signal?: AbortSignal,
): Promise<Described> {
  const fields = Fields.of(config, file);
  const tower = visionTower ? await readJson(visionTower, file, signal) : null;
  const dialect = dialectOf(fields);
  return {
    dialect,
    config: fields,
    text: textOf(fields, dialect, config),
    vision: visionOf(fields, dialect, tower),
  };
}

/** Whether it is the `config.json` of an on-device folder: the converter's, or one that MLX quantised. */
export function isOnDevice(config: Json): boolean {
  const [name] = (Array.isArray(config.architectures) ? config.architectures : []) as unknown[];
  return name === 'LlavaSpForConditionalGeneration' || config.quantization !== undefined;
}

function dialectOf(config: Fields): Dialect {
  if (config.has('llm_config')) return 'internvl';
  const type = config.has('model_type') ? config.string('model_type') : '';
  if (type === 'llava_next') return 'llava-next';
  return type === 'llava' && !config.has('mm_vision_tower') ? 'llava-hf' : 'llava';
}

function textOf(config: Fields, dialect: Dialect, json: Json): Json {
  const key = { llava: '', 'llava-hf': 'text_config', 'llava-next': 'text_config', internvl: 'llm_config' }[
    dialect
  ];
  const text = key === '' ? json : record(config, key);
  return text.model_type === 'mistral' ? { ...mistral, ...text } : text;
}

function visionOf(config: Fields, dialect: Dialect, tower: Json | null): Json {
  if (tower) return record(Fields.of(tower, file), 'vision_config', tower);
  if (config.has('vision_config')) return record(config, 'vision_config');
  if (dialect === 'llava-hf' || dialect === 'llava-next') return llavaTower;
  throw noTower(config.raw('mm_vision_tower'));
}

function noTower(name: unknown): LoadError {
  const which = typeof name === 'string' ? ` (${name.slice(0, 200)})` : '';
  return new LoadError({
    code: 'MODEL_FILE_MISSING',
    message: `The checkpoint does not describe its vision tower${which}.`,
    fix: 'Pass the folder of the vision tower as well (visionTower, or --vision-tower).',
  });
}

/** The object under `key`; `absent` where there is none. */
function record(config: Fields, key: string, absent: Json = {}): Json {
  if (!config.has(key)) return absent;
  const fields = config.fields(key);
  return Object.fromEntries(fields.keys().map((name) => [name, fields.raw(name) ?? null]));
}

/**
 * The tower, its kind told by its tensors.
 *
 * @throws {LoadError} `CONFIG_INVALID`.
 */
export function visionConfig({ vision, dialect, config }: Described, located: Located): VisionConfig {
  const modelType = towerType(located);
  const own = { ...vision, model_type: modelType };
  if (modelType !== 'intern_vit') return parseVision(Fields.of(own, file), true);
  const imageSize = (dialect === 'internvl' ? config.raw('force_image_size') : null) ?? vision.image_size;
  return parseVision(Fields.of({ ...own, image_size: imageSize }, file), true);
}

function towerType(located: Located): 'intern_vit' | 'siglip_vision_model' | 'clip_vision_model' {
  if (located.hasAny(`${visionRoot}encoder.layers.0.ls`)) return 'intern_vit';
  const classToken = located.has(`${visionRoot}embeddings.class_embedding`);
  return classToken ? 'clip_vision_model' : 'siglip_vision_model';
}

/**
 * The decoder. Biases, and whether the head is the embedding table, are told by the tensors where the configuration is
 * silent.
 *
 * @param ends ids that end an answer, beside the configuration's own.
 * @throws {LoadError} `CONFIG_INVALID`; {UnsupportedError} `ARCHITECTURE_UNKNOWN`.
 */
export function textConfig(
  { text, config, dialect }: Described,
  located: Located,
  ends: readonly number[],
): TextConfig {
  const biases = located.has(`${languageRoot}model.layers.0.self_attn.q_proj.bias`);
  if (text.model_type === 'mistral' && !coversContext(text)) throw slidingWindow(text.sliding_window);
  const parsed = parseText(
    Fields.of({ ...text, model_type: decoderType(text, dialect, biases), attention_bias: biases }, file),
    true,
  );
  const tied =
    typeof text.tie_word_embeddings === 'boolean'
      ? text.tie_word_embeddings
      : config.boolean('tie_word_embeddings', false) && !located.has(`${languageRoot}lm_head.weight`);
  const eos = [...new Set([...parsed.eos, ...ends])].filter((id) => id >= 0 && id < parsed.vocab);
  return { ...parsed, tied, eos };
}

/** LLaVA's own code names the decoder in its own way; Hugging Face's field says what it is. */
function decoderType(text: Json, dialect: Dialect, biases: boolean): unknown {
  if (text.model_type === 'mistral') return 'llama';
  if (dialect !== 'llava') return text.model_type ?? 'llama';
  return biases ? 'qwen2' : 'llama';
}

function coversContext({ sliding_window: window, max_position_embeddings: context }: Json): boolean {
  return window === null || (typeof window === 'number' && typeof context === 'number' && window >= context);
}

function slidingWindow(window: unknown): UnsupportedError {
  return new UnsupportedError({
    code: 'ARCHITECTURE_UNKNOWN',
    message: `The language model attends over a sliding window of ${JSON.stringify(window)?.slice(0, 40)} tokens, which is not supported.`,
    fix: 'Use a model whose decoder is a LLaMA, a Qwen2, or a Mistral without a sliding window.',
  });
}

/**
 * Everything of `config.json` but the image token and the spatial modules.
 *
 * @param preprocessor the published `preprocessor_config.json`.
 */
export function commonConfig(
  described: Described,
  vision: VisionConfig,
  text: TextConfig,
  preprocessor: Json,
): Record<string, unknown> {
  const { dialect, config } = described;
  checkProjector(config);
  return {
    model_type: 'llava_sp',
    architectures: ['LlavaSpForConditionalGeneration'],
    vision_feature_layer: featureLayer(config, dialect, vision),
    vision_feature_select_strategy: selectStrategy(config, vision),
    projector_hidden_act: config.has('projector_hidden_act') ? config.string('projector_hidden_act') : 'gelu',
    ...aspect(described, Fields.of(preprocessor, 'preprocessor_config.json')),
    ...(dialect === 'internvl' ? { downsample_ratio: config.oneOf('downsample_ratio', [0.5], 0.5) } : {}),
    vision_config: visionJson(vision),
    text_config: textJson(text),
  };
}

/** What is not computed here is refused by name. */
function checkProjector(config: Fields): void {
  config.oneOf('mm_projector_type', ['mlp2x_gelu'], 'mlp2x_gelu');
  if (config.boolean('mm_use_im_start_end', false)) throw config.error('mm_use_im_start_end', 'false');
  config.oneOf('ps_version', ['v2'], 'v2');
}

function featureLayer(config: Fields, dialect: Dialect, vision: VisionConfig): number {
  const key = {
    llava: 'mm_vision_select_layer',
    'llava-hf': 'vision_feature_layer',
    'llava-next': 'vision_feature_layer',
    internvl: 'select_layer',
  }[dialect];
  const layer = config.integer(
    key,
    { min: -vision.layers - 1, max: vision.layers },
    dialect === 'internvl' ? -1 : -2,
  );
  // hidden_states has one entry more than there are layers.
  return layer < 0 ? layer : layer - vision.layers - 1;
}

function selectStrategy(config: Fields, vision: VisionConfig): 'default' | 'full' {
  config.oneOf('mm_vision_select_feature', ['patch'], 'patch');
  // Without a class token, all there is are patches.
  if (vision.type === 'siglip') return 'full';
  return config.oneOf('vision_feature_select_strategy', ['default'], 'default');
}

function aspect(described: Described, preprocessor: Fields): Record<string, unknown> {
  const { config, dialect } = described;
  if (dialect === 'internvl') return dynamicTiles(config);
  if (dialect === 'llava-next') {
    const listed = config.raw('image_grid_pinpoints') ?? nextPinpoints;
    return {
      image_aspect_ratio: 'anyres',
      image_grid_pinpoints: listed,
      mm_patch_merge_type: 'spatial_unpad',
    };
  }
  if (dialect === 'llava-hf') {
    return { image_aspect_ratio: preprocessor.boolean('do_pad', false) ? 'pad' : 'original' };
  }
  const kind = config.oneOf('image_aspect_ratio', ['pad', 'square', 'original', 'anyres'], 'original');
  if (kind !== 'anyres') return { image_aspect_ratio: kind === 'square' ? 'original' : kind };
  return {
    image_aspect_ratio: 'anyres',
    image_grid_pinpoints: swapped(config),
    mm_patch_merge_type: config.oneOf('mm_patch_merge_type', ['spatial_unpad', 'flat'], 'flat'),
  };
}

/** LLaVA's own code lists `[width, height]`, some releases as text. */
function swapped(config: Fields): unknown {
  let listed = config.raw('image_grid_pinpoints');
  if (typeof listed === 'string' && /^[\d\s,()[\]]{1,4096}$/.test(listed)) {
    const pairs = listed.matchAll(/(\d+)\s*,\s*(\d+)/g);
    listed = [...pairs].map(([, width, height]) => [Number(width), Number(height)]);
  }
  if (!Array.isArray(listed)) throw config.error('image_grid_pinpoints', 'a list of pairs');
  return listed.map((pair: unknown) => (Array.isArray(pair) ? [...(pair as unknown[])].reverse() : pair));
}

function dynamicTiles(config: Fields): Record<string, unknown> {
  const many = config.boolean('dynamic_image_size', true);
  const tiles = { min: 1, max: 1024 };
  return {
    image_aspect_ratio: 'dynamic',
    min_dynamic_patch: many ? config.integer('min_dynamic_patch', tiles, 1) : 1,
    max_dynamic_patch: many ? config.integer('max_dynamic_patch', tiles, 12) : 1,
    use_thumbnail: config.boolean('use_thumbnail', true),
  };
}

const activationNames: Record<Activation, string> = {
  gelu: 'gelu',
  quick_gelu: 'quick_gelu',
  gelu_tanh: 'gelu_pytorch_tanh',
  silu: 'silu',
};
const visionTypes = {
  clip: 'clip_vision_model',
  siglip: 'siglip_vision_model',
  intern_vit: 'intern_vit',
} as const;

function visionJson(vision: VisionConfig): Record<string, unknown> {
  return {
    model_type: visionTypes[vision.type],
    hidden_size: vision.width,
    intermediate_size: vision.mlp,
    num_hidden_layers: vision.layers,
    num_attention_heads: vision.heads,
    num_channels: vision.channels,
    image_size: vision.imageSize,
    patch_size: vision.patch,
    hidden_act: activationNames[vision.act],
    layer_norm_eps: vision.eps,
    ...(vision.type === 'intern_vit' ? { qkv_bias: vision.qkvBias, qk_normalization: vision.qkNorm } : {}),
  };
}

function textJson(text: TextConfig): Record<string, unknown> {
  const { eos, bos } = text;
  return {
    model_type: text.type,
    hidden_size: text.width,
    intermediate_size: text.mlp,
    num_hidden_layers: text.layers,
    num_attention_heads: text.heads,
    num_key_value_heads: text.kvHeads,
    head_dim: text.headDim,
    vocab_size: text.vocab,
    rms_norm_eps: text.eps,
    rope_theta: text.ropeTheta,
    max_position_embeddings: text.context,
    tie_word_embeddings: text.tied,
    attention_bias: text.attentionBias,
    hidden_act: 'silu',
    ...(bos === null ? {} : { bos_token_id: bos }),
    ...(eos.length === 0 ? {} : { eos_token_id: eos.length === 1 ? eos[0] : eos }),
  };
}

const preprocessorFields = [
  'do_resize',
  'size',
  'resample',
  'do_center_crop',
  'crop_size',
  'do_rescale',
  'rescale_factor',
  'do_normalize',
  'image_mean',
  'image_std',
  'do_convert_rgb',
] as const;

/** The fields of a published `preprocessor_config.json` that say how a picture becomes pixels. */
export function preprocessorJson(published: Json | null, vision: VisionConfig): Record<string, unknown> {
  const { imageSize: side } = vision;
  const intern = { do_resize: true, size: { height: side, width: side }, resample: 3, do_normalize: true };
  const source: Json = published ?? { ...intern, ...internPixels };
  const present = preprocessorFields.filter((key) => source[key] !== undefined && source[key] !== null);
  return Object.fromEntries(present.map((key) => [key, source[key]]));
}
