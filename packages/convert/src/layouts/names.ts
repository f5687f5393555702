/**
 * From the names of published checkpoints, in all their spellings, to the on-device ones. Nothing here knows of sizes: a
 * name is one of a model's, or it is not.
 */

/** What a published tensor is on the device: a whole tensor, or one of the equal row ranges that it fuses. */
export interface Target {
  readonly name: string;
  /** `[i, n]`: the i-th of n equal parts of the rows. */
  readonly part: readonly [number, number];
}

/** Marks on a name that tell variants apart. */
export interface Translation {
  readonly targets: readonly Target[];
  /** `pooling`: the convolution follows a pooling layer in its module. */
  readonly pooling?: true;
}

export const visionRoot = 'vision_tower.vision_model.';
export const languageRoot = 'language_model.';
export const projectorRoot = 'multi_modal_projector.';
export const spatialRoot = 'spatial_features.';

/** Prefixes of wrappers: Hugging Face's `model.`, peft's `base_model.`, and those of parallel and compiled training. */
const wrappers = /^(?:model\.|base_model\.|module\.|_orig_mod\.)+/;

/** Buffers that old releases saved with the weights: they hold no values of the model. */
const buffers = /(?:^|\.)(?:position_ids|rotary_emb\.inv_freq|attention\.bias|masked_bias)$/;

export function isBuffer(name: string): boolean {
  return buffers.test(name);
}

/** The on-device tensors that a published name holds; `null` when the family has no such tensor. */
export function translate(name: string): Translation | null {
  const inner = name.replace(wrappers, '');
  if (inVisionTower.test(inner)) return translateTower(inner);
  const language = inner.replace(/^(?:language_model\.)+/, '').replace(wrappers, '');
  return (
    plain(languageName(language)) ??
    plain(projectorName(inner)) ??
    spatialName(inner) ??
    transformerName(inner)
  );
}

const inVisionTower = /^(?:vision_tower\.|vision_model\.)+/;

/** {@link translate} for a folder of a vision tower alone, whose names may have no prefix. */
export function translateTower(name: string): Translation | null {
  return plain(visionName(name.replace(wrappers, '').replace(inVisionTower, '')));
}

/** The tensor of an on-device name. */
export function whole(name: string): Translation {
  return { targets: [{ name, part: [0, 1] }] };
}

function plain(target: string | readonly string[] | null): Translation | null {
  if (target === null) return null;
  if (typeof target === 'string') return whole(target);
  return { targets: target.map((name, i) => ({ name, part: [i, target.length] })) };
}

function languageName(name: string): string | null {
  if (name === 'lm_head.weight') return `${languageRoot}${name}`;
  if (/^(?:embed_tokens|norm)\.weight$/.test(name)) return `${languageRoot}model.${name}`;
  const layer =
    /^layers\.\d+\.(?:self_attn\.[qkvo]_proj\.(?:weight|bias)|mlp\.(?:gate|up|down)_proj\.weight|(?:input|post_attention)_layernorm\.weight)$/;
  return layer.test(name) ? `${languageRoot}model.${name}` : null;
}

/** CLIP's and SigLIP's names are the on-device ones; InternViT's are its own. */
function visionName(name: string): string | readonly string[] | null {
  const [, layer, rest] = /^encoder\.layers\.(\d+)\.(.+)$/.exec(name) ?? [];
  if (rest !== undefined) {
    const root = `${visionRoot}encoder.layers.${layer}.`;
    const found = layerName(rest);
    if (found === null) return null;
    return typeof found === 'string' ? root + found : found.map((part) => root + part);
  }
  if (name === 'embeddings.position_embedding') return `${visionRoot}${name}.weight`;
  const top =
    /^(?:embeddings\.(?:class_embedding|patch_embedding\.(?:weight|bias)|position_embedding\.weight)|(?:pre_layrnorm|post_layernorm)\.(?:weight|bias))$/;
  return top.test(name) ? `${visionRoot}${name}` : null;
}

/** LayerScale keeps its published name: it is folded into the layer before it. */
function layerName(name: string): string | readonly string[] | null {
  if (/^(?:layer_norm[12]|self_attn\.(?:[qkv]|out)_proj|mlp\.fc[12])\.(?:weight|bias)$/.test(name))
    return name;
  if (/^ls[12]$/.test(name)) return name;
  const [, norm, kind] = /^norm([12])\.(weight|bias)$/.exec(name) ?? [];
  if (norm) return `layer_norm${norm}.${kind}`;
  const [, fused] = /^attn\.qkv\.(weight|bias)$/.exec(name) ?? [];
  if (fused) return ['q', 'k', 'v'].map((letter) => `self_attn.${letter}_proj.${fused}`);
  const [, projected] = /^attn\.proj\.(weight|bias)$/.exec(name) ?? [];
  if (projected) return `self_attn.out_proj.${projected}`;
  const [, letter] = /^attn\.([qk])_norm\.weight$/.exec(name) ?? [];
  return letter ? `self_attn.${letter}_norm.weight` : null;
}

/** LLaVA's `mm_projector`, Hugging Face's `multi_modal_projector`, InternVL's `mlp1`. */
function projectorName(name: string): string | null {
  const [, hugging] = /^multi_modal_projector\.(linear_[12]\.(?:weight|bias))$/.exec(name) ?? [];
  if (hugging) return projectorRoot + hugging;
  const [, index, kind] = /^mm_projector\.([02])\.(weight|bias)$/.exec(name) ?? [];
  if (index) return `${projectorRoot}${index === '0' ? 'linear_1' : 'linear_2'}.${kind}`;
  const [, stage, mlpKind] = /^mlp1\.([013])\.(weight|bias)$/.exec(name) ?? [];
  if (stage) return `${projectorRoot}${{ 0: 'norm', 1: 'linear_1', 3: 'linear_2' }[stage]}.${mlpKind}`;
  return null;
}

/** LLaVA-SP's own modules (specification section 8). */
function spatialName(name: string): Translation | null {
  if (name === 'image_newline') return whole('image_newline.weight');
  if (name === 'conv_CM.weight') return whole(`${spatialRoot}detail.conv.weight`);
  const [, kernel, pooled] = /^conv_([1-9]\d{0,2})(\.1)?\.weight$/.exec(name) ?? [];
  if (kernel) {
    const translation = whole(`${spatialRoot}conv_${kernel}.weight`);
    return pooled ? { ...translation, pooling: true } : translation;
  }
  const [, role, index, kind] = /^(query|key|value)_projector\.([01])\.(weight|bias)$/.exec(name) ?? [];
  if (role) return whole(`${spatialRoot}detail.${role}_${index === '0' ? 'norm' : 'proj'}.${kind}`);
  const [, projected] = /^conv_linear\.1\.(weight|bias)$/.exec(name) ?? [];
  return projected ? whole(`${spatialRoot}projector.${projected}`) : null;
}

/** The transformer that takes a convolution's place: `torch.nn.Transformer`, and its learned query. */
function transformerName(name: string): Translation | null {
  const [, queried] = /^query_([1-9]\d{0,2})(?:\.weight)?$/.exec(name) ?? [];
  if (queried) return whole(`${spatialRoot}transformer_${queried}.query.weight`);
  const [, kernel, rest] = /^transformer_([1-9]\d{0,2})\.(.+)$/.exec(name) ?? [];
  if (!kernel) return null;
  const root = `${spatialRoot}transformer_${kernel}.`;
  const [, side, layer, module] = /^(encoder|decoder)\.(?:layers\.(\d+)\.)?(.+)$/.exec(rest) ?? [];
  if (!side) return null;
  const prefix = layer === undefined ? `${root}${side}.` : `${root}${side}.layers.${layer}.`;
  const known =
    layer === undefined ? /^norm\.(?:weight|bias)$/ : /^(?:linear[12]\.weight|norm[123]\.(?:weight|bias))$/;
  if (known.test(module)) return whole(prefix + module);
  const [, attention, projection] =
    /^(self_attn|multihead_attn)\.(in_proj_weight|out_proj\.weight)$/.exec(module) ?? [];
  if (layer === undefined || !attention) return null;
  const target = prefix + (attention === 'self_attn' ? 'self_attn.' : 'cross_attn.');
  if (projection === 'out_proj.weight') return whole(`${target}out_proj.weight`);
  return plain(['q', 'k', 'v'].map((letter) => `${target}${letter}_proj.weight`));
}
