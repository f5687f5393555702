/** Every tensor that a model of the family has on the device, in the order of use: name, part, shape. */
import type { ModelConfig, TextConfig, VisionConfig } from '@llava-sp/core/formats';
import type { Part, PlannedTensor } from '../contract.ts';
import { languageRoot, projectorRoot, spatialRoot, visionRoot } from './names.ts';
import type { SpatialFacts } from './spatial.ts';

export interface Wanted extends Pick<PlannedTensor, 'name' | 'part' | 'kind' | 'shape' | 'kernel'> {
  /** Zeros where the checkpoint has none. */
  readonly optional: boolean;
}

export function wantedTensors(config: ModelConfig): Wanted[] {
  const { vision, spatial, text } = config;
  const list = new List();
  // Behind the selected features no layer of the tower is needed.
  addVision(list.of('vision', visionRoot), vision, vision.layers + 1 + config.visionFeatureLayer);
  if (spatial) addSpatial(list, spatial, vision.width, text.width);
  addProjector(list, config);
  addLanguage(list, text);
  return list.tensors;
}

class List {
  readonly tensors: Wanted[] = [];

  of(part: Part, root: string): Adder {
    return new Adder(this.tensors, part, root);
  }
}

class Adder {
  readonly #tensors: Wanted[];
  readonly #part: Part;
  readonly #root: string;

  constructor(tensors: Wanted[], part: Part, root: string) {
    this.#tensors = tensors;
    this.#part = part;
    this.#root = root;
  }

  under(prefix: string): Adder {
    return new Adder(this.#tensors, this.#part, this.#root + prefix);
  }

  matrix(name: string, out: number, input: number): void {
    this.#add(`${name}.weight`, 'matrix', [out, input]);
  }

  convolution(name: string, out: number, input: number, kernel: number): void {
    this.#add(`${name}.weight`, 'matrix', [out, input, kernel, kernel], { kernel });
  }

  vector(name: string, ...shape: number[]): void {
    this.#add(name, 'vector', shape);
  }

  linear(name: string, out: number, input: number, bias = true): void {
    this.matrix(name, out, input);
    if (bias) this.vector(`${name}.bias`, out);
  }

  /** `optional`: a bias of zeros where the module has none. */
  norm(name: string, width: number, options: { optional?: boolean } = {}): void {
    this.vector(`${name}.weight`, width);
    this.#add(`${name}.bias`, 'vector', [width], options);
  }

  #add(
    name: string,
    kind: Wanted['kind'],
    shape: number[],
    { kernel = 0, optional = false }: { kernel?: number; optional?: boolean } = {},
  ): void {
    this.#tensors.push({ name: this.#root + name, part: this.#part, kind, shape, kernel, optional });
  }
}

function addVision(add: Adder, vision: VisionConfig, layers: number): void {
  const { type, width, mlp, channels, patch, grid, qkvBias, qkNorm } = vision;
  const classToken = type !== 'siglip';
  add.convolution('embeddings.patch_embedding', width, channels, patch);
  if (type !== 'clip') add.vector('embeddings.patch_embedding.bias', width);
  if (classToken) add.vector('embeddings.class_embedding', width);
  add.vector('embeddings.position_embedding.weight', grid * grid + (classToken ? 1 : 0), width);
  if (type === 'clip') add.norm('pre_layrnorm', width);
  for (let i = 0; i < layers; i++) {
    const layer = add.under(`encoder.layers.${i}.`);
    layer.norm('layer_norm1', width);
    for (const letter of ['q', 'k', 'v']) layer.linear(`self_attn.${letter}_proj`, width, width, qkvBias);
    if (qkNorm) for (const letter of ['q', 'k']) layer.vector(`self_attn.${letter}_norm.weight`, width);
    layer.linear('self_attn.out_proj', width, width);
    layer.norm('layer_norm2', width);
    layer.linear('mlp.fc1', mlp, width);
    layer.linear('mlp.fc2', width, mlp);
  }
}

/** Widths: C of the vision tower, S of the features, H of the language model. */
function addSpatial(list: List, spatial: SpatialFacts, c: number, h: number): void {
  const { kernels, features: s, transformer, detail } = spatial;
  const sfe = list.of('sfe', spatialRoot);
  for (const k of kernels) {
    if (transformer) addTransformer(sfe.under(`transformer_${k}.`), transformer, c);
    else sfe.convolution(`conv_${k}`, s, c, k);
  }
  if (detail) {
    const add = list.of('detail', `${spatialRoot}detail.`);
    add.convolution('conv', s, c, detail.kernel);
    for (const role of ['query', 'key', 'value']) {
      add.norm(`${role}_norm`, s);
      add.linear(`${role}_proj`, s, s);
    }
  }
  list.of('projector', spatialRoot).linear('projector', h, detail ? 2 * s : s, detail !== null);
}

function addTransformer(
  add: Adder,
  { layers, mlp }: NonNullable<SpatialFacts['transformer']>,
  width: number,
): void {
  const norm = { optional: true };
  const square = (layer: Adder, attention: string, letters: readonly string[]) => {
    for (const letter of letters) layer.matrix(`${attention}.${letter}_proj`, width, width);
  };
  add.vector('query.weight', 1, width);
  for (let i = 0; i < layers; i++) {
    const layer = add.under(`encoder.layers.${i}.`);
    square(layer, 'self_attn', ['q', 'k', 'v', 'out']);
    layer.matrix('linear1', mlp, width);
    layer.matrix('linear2', width, mlp);
    for (const n of [1, 2]) layer.norm(`norm${n}`, width, norm);
  }
  add.norm('encoder.norm', width, norm);
  for (let i = 0; i < layers; i++) {
    const layer = add.under(`decoder.layers.${i}.`);
    // One query: its softmax over itself is 1, so that q and k of the self-attention are not needed.
    square(layer, 'self_attn', ['v', 'out']);
    square(layer, 'cross_attn', ['q', 'k', 'v', 'out']);
    layer.matrix('linear1', mlp, width);
    layer.matrix('linear2', width, mlp);
    for (const n of [1, 2, 3]) layer.norm(`norm${n}`, width, norm);
  }
  add.norm('decoder.norm', width, norm);
}

function addProjector(list: List, { vision, text, downsample, tiling }: ModelConfig): void {
  const add = list.of('projector', projectorRoot);
  const input = vision.width * downsample ** 2;
  if (downsample > 1) add.norm('norm', input);
  add.linear('linear_1', text.width, input);
  add.linear('linear_2', text.width, text.width);
  // Rows of patches end with a learned vector.
  const newline = tiling?.type === 'anyres' && tiling.merge === 'spatial_unpad';
  if (newline) list.of('projector', '').vector('image_newline.weight', 1, text.width);
}

function addLanguage(list: List, text: TextConfig): void {
  const { width, mlp, heads, kvHeads, headDim, vocab, attentionBias } = text;
  list.of('embeddings', `${languageRoot}model.`).matrix('embed_tokens', vocab, width);
  const add = list.of('llm', `${languageRoot}model.`);
  for (let i = 0; i < text.layers; i++) {
    const layer = add.under(`layers.${i}.`);
    layer.vector('input_layernorm.weight', width);
    layer.linear('self_attn.q_proj', heads * headDim, width, attentionBias);
    layer.linear('self_attn.k_proj', kvHeads * headDim, width, attentionBias);
    layer.linear('self_attn.v_proj', kvHeads * headDim, width, attentionBias);
    layer.matrix('self_attn.o_proj', width, heads * headDim);
    layer.vector('post_attention_layernorm.weight', width);
    layer.matrix('mlp.gate_proj', mlp, width);
    layer.matrix('mlp.up_proj', mlp, width);
    layer.matrix('mlp.down_proj', width, mlp);
  }
  add.vector('norm.weight', width);
  if (!text.tied) list.of('embeddings', languageRoot).matrix('lm_head', vocab, width);
}
