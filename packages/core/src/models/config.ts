import { UnsupportedError } from '../errors/index.ts';
import { Fields } from './fields.ts';

export type Activation = 'gelu' | 'quick_gelu' | 'gelu_tanh' | 'silu';

/** CLIP's vision transformer. Sizes in elements unless said otherwise. */
export interface VisionConfig {
  readonly type: 'clip';
  readonly width: number;
  readonly mlp: number;
  readonly layers: number;
  readonly heads: number;
  readonly channels: number;
  /** The square input's side, in pixels. */
  readonly imageSize: number;
  /** A patch's side, in pixels. */
  readonly patch: number;
  /** G: patches along a side, `imageSize / patch`. */
  readonly grid: number;
  readonly act: Activation;
  readonly eps: number;
}

/** A LLaMA-style decoder. */
export interface TextConfig {
  readonly type: 'llama';
  readonly width: number;
  readonly mlp: number;
  readonly layers: number;
  readonly heads: number;
  /** Divides `heads`; fewer than `heads` is grouped-query attention. */
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocab: number;
  readonly eps: number;
  readonly ropeTheta: number;
  /** In tokens. */
  readonly context: number;
  /** Whether the output head is the embedding table. */
  readonly tied: boolean;
  /** Whether q, k and v have biases. */
  readonly attentionBias: boolean;
  readonly bos: number | null;
  /** Every id that ends an answer; empty when the model declares none. */
  readonly eos: readonly number[];
}

/** The Spatial Feature Extractor (specification section 3) and Detail Feature Integrator (section 4). */
export interface SpatialConfig {
  readonly type: 'cropping' | 'pooling';
  /** N. */
  readonly tokens: number;
  /** S. */
  readonly features: number;
  /** `k_i = G*i/N` for i = 1..N, in patches. */
  readonly kernels: readonly number[];
  /** `null` without DFI. */
  readonly detail: DetailConfig | null;
}

export interface DetailConfig {
  /** Side of F_ms's kernel, in patches. */
  readonly kernel: number;
  readonly stride: number;
  /** Positions of F_ms: `(floor((G - kernel) / stride) + 1)^2`. */
  readonly positions: number;
}

export type QuantizationBits = 4 | 8;

export interface LayerQuantization {
  /** Elements along `in` that share a scale and a bias. */
  readonly group: 32 | 64 | 128;
  readonly bits: QuantizationBits;
}

/** MLX's affine quantisation (specification section 9). */
export interface QuantizationConfig extends LayerQuantization {
  /** By weight name without `.weight`; `false`: this layer is not quantised. */
  readonly layers: ReadonlyMap<string, LayerQuantization | false>;
}

export interface ModelConfig {
  readonly architecture: 'LlavaSpForConditionalGeneration';
  /** Id of the `<image>` token. */
  readonly imageToken: number;
  /** -1: output of the last layer, before the post-LayerNorm; -2: the input of the last layer; and so on. */
  readonly visionFeatureLayer: number;
  readonly imageAspectRatio: 'pad' | 'original';
  /** Exact GELU between the two layers of the patch projector. */
  readonly projectorAct: Activation;
  readonly vision: VisionConfig;
  readonly text: TextConfig;
  /** `null` is plain LLaVA-1.5. */
  readonly spatial: SpatialConfig | null;
  readonly quantization: QuantizationConfig | null;
}

const file = 'config.json';
const architectures = ['LlavaSpForConditionalGeneration'] as const;

// Wide enough for any model of these families, narrow enough that no product of sizes leaves the safe integers and
// a damaged file can't ask for memory that no device has.
const widths = { min: 1, max: 65_536 };
const layerCounts = { min: 1, max: 512 };
const headCounts = { min: 1, max: 1024 };
const vocabularies = { min: 1, max: 4_194_304 };
const contexts = { min: 1, max: 1_048_576 };
const epsilons = { min: 1e-12, max: 0.1 };
const thetas = { min: 1, max: 1e12 };
/** Weights of one tensor: far above the largest published (a 151,000 x 8,192 embedding), far below 2^53. */
const maxTensorElements = 2 ** 33;
/** Keys and values of the whole context: 64 GiB of float32, eight times LLaVA's 7B at 8,192 tokens. */
const maxCacheElements = 2 ** 34;

const activations: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  quick_gelu: 'quick_gelu',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_new: 'gelu_tanh',
  silu: 'silu',
  swish: 'silu',
};

/**
 * Reads an on-device `config.json`, already parsed from JSON.
 *
 * Defaults, those of Hugging Face: `vision_feature_layer` -2, `image_aspect_ratio` "original" (no padding, as in LLaVA's own code), `num_key_value_heads` =
 * `num_attention_heads`, `head_dim` = `hidden_size / num_attention_heads`, `layer_norm_eps` 1e-5, `rms_norm_eps` 1e-5,
 * `rope_theta` 10000, `tie_word_embeddings` and `attention_bias` false, `num_channels` 3, activations quick_gelu
 * (vision), silu (text) and gelu (projector), detail `stride` 2. `image_aspect_ratio` "square" is LLaVA's other name for
 * "original": the image is not padded.
 *
 * @throws {LoadError} `CONFIG_INVALID` naming the field, what was found and what was wanted.
 * @throws {UnsupportedError} `ARCHITECTURE_UNKNOWN` listing what is known.
 */
export function parseModelConfig(json: unknown): ModelConfig {
  const config = Fields.of(json, file);
  const architecture = parseArchitecture(config);
  requireKnown(config, 'model_type', ['llava_sp'], 'llava_sp');
  const vision = parseVision(config.fields('vision_config'));
  const text = parseText(config.fields('text_config'));
  config.oneOf('vision_feature_select_strategy', ['default'], 'default');
  const spatial = config.has('spatial_config') ? parseSpatial(config.fields('spatial_config'), vision) : null;

  const visionFeatureLayer = config.integer('vision_feature_layer', { min: -layerCounts.max, max: -1 }, -2);
  if (-visionFeatureLayer > vision.layers + 1) {
    throw config.error(
      'vision_feature_layer',
      `-1 to ${-vision.layers - 1} with ${vision.layers} vision layers`,
    );
  }
  checkContext(config, vision, text, spatial);
  return {
    architecture,
    imageToken: config.integer('image_token_index', { min: 0, max: text.vocab - 1 }),
    visionFeatureLayer,
    imageAspectRatio:
      config.oneOf('image_aspect_ratio', ['pad', 'original', 'square'], 'original') === 'pad'
        ? 'pad'
        : 'original',
    projectorAct: activation(config, 'projector_hidden_act', 'gelu'),
    vision,
    text,
    spatial,
    quantization: config.has('quantization') ? parseQuantization(config.fields('quantization')) : null,
  };
}

function parseArchitecture(config: Fields): (typeof architectures)[number] {
  const list = config.raw('architectures');
  if (!Array.isArray(list) || list.length !== 1) throw config.error('architectures', 'a list of one name');
  const known = architectures.find((name) => name === list[0]);
  if (known) return known;
  throw unknownArchitecture(`architecture ${JSON.stringify(list[0])?.slice(0, 80)}`, architectures);
}

/** A sub-model's `model_type`: unknown is "not supported", not "damaged". */
function requireKnown(fields: Fields, key: string, known: readonly string[], fallback: string): void {
  const found = fields.has(key) ? fields.string(key) : fallback;
  if (!known.includes(found))
    throw unknownArchitecture(`${fields.path(key)} ${JSON.stringify(found)?.slice(0, 80)}`, known);
}

function unknownArchitecture(what: string, known: readonly string[]): UnsupportedError {
  return new UnsupportedError({
    code: 'ARCHITECTURE_UNKNOWN',
    message: `${file} asks for ${what}, which is not supported. Known: ${known.join(', ')}.`,
    fix: 'Use a model of a known architecture, or a newer release of the SDK.',
  });
}

function parseVision(vision: Fields): VisionConfig {
  requireKnown(vision, 'model_type', ['clip_vision_model'], 'clip_vision_model');
  const width = vision.integer('hidden_size', widths);
  const heads = vision.integer('num_attention_heads', headCounts);
  if (width % heads !== 0) throw vision.error('num_attention_heads', `a divisor of hidden_size ${width}`);
  const imageSize = vision.integer('image_size', { min: 1, max: 4096 });
  const patch = vision.integer('patch_size', { min: 1, max: 256 });
  if (imageSize % patch !== 0) throw vision.error('patch_size', `a divisor of image_size ${imageSize}`);
  const grid = imageSize / patch;
  if (grid > 256) throw vision.error('image_size', `at most 256 patches of ${patch} pixels`);
  return {
    type: 'clip',
    width,
    mlp: vision.integer('intermediate_size', widths),
    layers: vision.integer('num_hidden_layers', layerCounts),
    heads,
    channels: vision.oneOf('num_channels', [3], 3),
    imageSize,
    patch,
    grid,
    act: activation(vision, 'hidden_act', 'quick_gelu'),
    eps: vision.number('layer_norm_eps', epsilons, 1e-5),
  };
}

function parseText(text: Fields): TextConfig {
  requireKnown(text, 'model_type', ['llama'], 'llama');
  const width = text.integer('hidden_size', widths);
  const heads = text.integer('num_attention_heads', headCounts);
  const kvHeads = text.integer('num_key_value_heads', headCounts, heads);
  if (!text.has('head_dim') && width % heads !== 0) {
    throw text.error('num_attention_heads', `a divisor of hidden_size ${width} when head_dim is absent`);
  }
  if (heads % kvHeads !== 0)
    throw text.error('num_key_value_heads', `a divisor of num_attention_heads ${heads}`);
  const headDim = text.integer('head_dim', { min: 2, max: 1024 }, width / heads);
  // Rotary positions turn pairs of elements.
  if (headDim % 2 !== 0) throw text.error('head_dim', `even (it is ${headDim})`);
  if (heads * headDim > widths.max)
    throw text.error('head_dim', `at most ${widths.max} with all ${heads} heads`);
  if (text.has('rope_scaling'))
    throw text.error('rope_scaling', 'absent or null: scaled rotary positions are not known');
  const vocab = text.integer('vocab_size', vocabularies);
  if (vocab * width > maxTensorElements)
    throw text.error('vocab_size', `at most ${maxTensorElements} embedding weights`);
  return {
    type: 'llama',
    width,
    mlp: text.integer('intermediate_size', widths),
    layers: text.integer('num_hidden_layers', layerCounts),
    heads,
    kvHeads,
    headDim,
    vocab,
    eps: text.number('rms_norm_eps', epsilons, 1e-5),
    ropeTheta: text.number('rope_theta', thetas, 10_000),
    context: text.integer('max_position_embeddings', contexts),
    tied: text.boolean('tie_word_embeddings', false),
    attentionBias: text.boolean('attention_bias', false),
    ...parseEnds(text, vocab),
  };
}

function parseEnds(text: Fields, vocab: number): Pick<TextConfig, 'bos' | 'eos'> {
  const ids = { min: 0, max: vocab - 1 };
  const bos = text.has('bos_token_id') ? text.integer('bos_token_id', ids) : null;
  activation(text, 'hidden_act', 'silu', ['silu']);
  const eos = text.raw('eos_token_id');
  if (eos === undefined) return { bos, eos: [] };
  const list: unknown[] = Array.isArray(eos) ? eos : [eos];
  const valid = list.every(
    (id): id is number => Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocab,
  );
  if (!valid || list.length > 64)
    throw text.error('eos_token_id', `an id below ${vocab}, or a short list of them`);
  return { bos, eos: [...list] };
}

function parseSpatial(spatial: Fields, { grid, width }: VisionConfig): SpatialConfig {
  const type = spatial.oneOf('type', ['cropping', 'pooling']);
  const tokens = spatial.integer('num_tokens', { min: 1, max: grid });
  if (grid % tokens !== 0) throw spatial.error('num_tokens', `a divisor of the patch grid's side ${grid}`);
  const features = spatial.integer('feature_size', widths);
  // The largest covering kernel spans the grid: this bounds them all.
  if (grid * grid * width * features > maxTensorElements) {
    throw spatial.error('feature_size', `at most ${maxTensorElements} weights in the covering convolution`);
  }
  const kernels = Array.from({ length: tokens }, (_, i) => (grid * (i + 1)) / tokens);
  return { type, tokens, features, kernels, detail: parseDetail(spatial, grid) };
}

function parseDetail(spatial: Fields, grid: number): DetailConfig | null {
  if (!spatial.has('detail')) return null;
  const detail = spatial.fields('detail');
  const kernel = detail.integer('kernel_size', { min: 1, max: grid });
  const stride = detail.integer('stride', { min: 1, max: grid }, 2);
  const side = Math.floor((grid - kernel) / stride) + 1;
  return { kernel, stride, positions: side * side };
}

function checkContext(
  config: Fields,
  vision: VisionConfig,
  text: TextConfig,
  spatial: SpatialConfig | null,
): void {
  const limits = config.fields('text_config');
  // Visual tokens alone must leave room for a question.
  const visual = vision.grid * vision.grid + (spatial?.tokens ?? 0);
  if (visual >= text.context) {
    throw limits.error('max_position_embeddings', `more than the image's ${visual} tokens`);
  }
  const most = Math.floor(maxCacheElements / (2 * text.layers * text.kvHeads * text.headDim));
  if (text.context > most) {
    throw limits.error('max_position_embeddings', `at most ${most} for keys and values of this size`);
  }
}

function parseQuantization(quantization: Fields): QuantizationConfig {
  const layers = new Map<string, LayerQuantization | false>();
  for (const key of quantization.keys()) {
    if (key === 'group_size' || key === 'bits' || key === 'mode') continue;
    layers.set(key, quantization.raw(key) === false ? false : parseLayer(quantization.fields(key)));
  }
  quantization.oneOf('mode', ['affine'], 'affine');
  return { ...parseLayer(quantization), layers };
}

function parseLayer(fields: Fields): LayerQuantization {
  return { group: fields.oneOf('group_size', [32, 64, 128]), bits: fields.oneOf('bits', [4, 8]) };
}

function activation(
  fields: Fields,
  key: string,
  fallback: string,
  allowed: readonly Activation[] = ['gelu', 'quick_gelu', 'gelu_tanh', 'silu'],
): Activation {
  const name = fields.has(key) ? fields.string(key) : fallback;
  const found = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (found && allowed.includes(found)) return found;
  const names = Object.keys(activations).filter((item) => allowed.includes(activations[item]));
  throw fields.error(key, `one of ${names.join(', ')}`);
}
