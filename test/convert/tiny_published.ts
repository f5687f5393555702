/** Checkpoints of LLaVA-SP's own names in memory: published grids and kernels, widths of a few elements, zeros. */
import type { Plan, PlanSources } from '../../packages/convert/src/contract.ts';
import { openPlan } from '../../packages/convert/src/plan.ts';
import type { ModelFiles } from '../../packages/core/src/host.ts';
import { folder, json, safetensors, type Draft } from '../weights/files.ts';

export interface Tiny {
  readonly spatial: 'cropping' | 'pooling' | null;
  readonly kernels: readonly number[];
  /** k of conv_CM; absent without DFI. */
  readonly detail?: number;
  /** Patches along a side. */
  readonly grid: number;
}

export const published: Tiny = {
  spatial: 'cropping',
  kernels: [4, 8, 12, 16, 20, 24],
  detail: 16,
  grid: 24,
};

/** Widths: C, S, H; one decoder layer, two vision layers of which the second is not needed. */
const [c, s, h, mlp, vocab, patch] = [4, 4, 8, 8, 16, 2];

type Drafts = Record<string, Draft>;

function zeros(...shape: number[]): Draft {
  return { dtype: 'F16', shape };
}

function pair(name: string, out: number, input: number): Drafts {
  return { [`${name}.weight`]: zeros(out, input), [`${name}.bias`]: zeros(out) };
}

function norm(name: string, width: number): Drafts {
  return { [`${name}.weight`]: zeros(width), [`${name}.bias`]: zeros(width) };
}

/** A LLaMA of one layer, as Hugging Face names it. */
export function languageDrafts(): Drafts {
  const layer = 'model.layers.0.';
  const square = ['q', 'k', 'v', 'o'].map((letter) => [
    `${layer}self_attn.${letter}_proj.weight`,
    zeros(h, h),
  ]);
  return {
    'model.embed_tokens.weight': zeros(vocab, h),
    ...(Object.fromEntries(square) as Drafts),
    [`${layer}mlp.gate_proj.weight`]: zeros(mlp, h),
    [`${layer}mlp.up_proj.weight`]: zeros(mlp, h),
    [`${layer}mlp.down_proj.weight`]: zeros(h, mlp),
    [`${layer}input_layernorm.weight`]: zeros(h),
    [`${layer}post_attention_layernorm.weight`]: zeros(h),
    'model.norm.weight': zeros(h),
    'lm_head.weight': zeros(vocab, h),
  };
}

/** A CLIP tower, as Hugging Face names it in a folder of its own. */
export function towerDrafts({ grid }: Pick<Tiny, 'grid'>): Drafts {
  const layers = [0, 1].map((i): Drafts => {
    const root = `vision_model.encoder.layers.${i}.`;
    const attention = ['q', 'k', 'v', 'out'].map((letter) => pair(`${root}self_attn.${letter}_proj`, c, c));
    return {
      ...(Object.assign({}, ...attention) as Drafts),
      ...norm(`${root}layer_norm1`, c),
      ...norm(`${root}layer_norm2`, c),
      ...pair(`${root}mlp.fc1`, mlp, c),
      ...pair(`${root}mlp.fc2`, c, mlp),
    };
  });
  return {
    'vision_model.embeddings.class_embedding': zeros(c),
    'vision_model.embeddings.patch_embedding.weight': zeros(c, 3, patch, patch),
    'vision_model.embeddings.position_embedding.weight': zeros(grid * grid + 1, c),
    ...norm('vision_model.pre_layrnorm', c),
    ...(Object.assign({}, ...layers) as Drafts),
    ...norm('vision_model.post_layernorm', c),
  };
}

/** What LLaVA trains beside the adapters: projector, SFE, DFI. */
export function trainedDrafts({ spatial, kernels, detail }: Tiny): Drafts {
  const drafts = { ...pair('model.mm_projector.0', h, c), ...pair('model.mm_projector.2', h, h) };
  if (!spatial) return drafts;
  kernels.forEach((k, i) => {
    const inner = spatial === 'pooling' && i < kernels.length - 1 ? '.1' : '';
    drafts[`model.conv_${k}${inner}.weight`] = zeros(s, c, k, k);
  });
  if (detail === undefined) return { ...drafts, 'model.conv_linear.1.weight': zeros(h, s) };
  drafts['model.conv_CM.weight'] = zeros(s, c, detail, detail);
  for (const role of ['query', 'key', 'value']) {
    Object.assign(drafts, norm(`model.${role}_projector.0`, s), pair(`model.${role}_projector.1`, s, s));
  }
  return { ...drafts, ...pair('model.conv_linear.1', h, 2 * s) };
}

/** The `config.json` of LLaVA's own code. */
export function llavaConfig(): Record<string, unknown> {
  return {
    model_type: 'llava_llama',
    architectures: ['LlavaLlamaForCausalLM'],
    hidden_size: h,
    intermediate_size: mlp,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    vocab_size: vocab,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    bos_token_id: 1,
    eos_token_id: 2,
    image_aspect_ratio: 'pad',
    mm_projector_type: 'mlp2x_gelu',
    mm_vision_select_feature: 'patch',
    mm_vision_select_layer: -2,
    mm_vision_tower: 'openai/clip-vit-large-patch14-336',
  };
}

export function towerConfig({ grid }: Pick<Tiny, 'grid'>): Record<string, unknown> {
  const vision = { model_type: 'clip_vision_model', hidden_size: c, intermediate_size: mlp };
  const heads = { num_hidden_layers: 2, num_attention_heads: 1, patch_size: patch, image_size: grid * patch };
  return { model_type: 'clip', vision_config: { ...vision, ...heads } };
}

export const preprocessorConfig = {
  do_resize: true,
  size: { shortest_edge: 48 },
  resample: 3,
  do_center_crop: true,
  crop_size: { height: 48, width: 48 },
  do_normalize: true,
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
  feature_extractor_type: 'CLIPFeatureExtractor',
};

export const tokenizerFiles = {
  'tokenizer.model': new Uint8Array(8),
  'tokenizer_config.json': json({ tokenizer_class: 'LlamaTokenizer' }),
};

/** An adapter of rank 2 and alpha 4 on q_proj, as peft names it. */
export function adapterDrafts(): Drafts {
  const root = 'base_model.model.model.layers.0.self_attn.q_proj.';
  return { [`${root}lora_A.weight`]: zeros(2, h), [`${root}lora_B.weight`]: zeros(h, 2) };
}

export const adapterConfig = {
  peft_type: 'LORA',
  r: 2,
  lora_alpha: 4,
  bias: 'none',
  fan_in_fan_out: false,
  target_modules: ['q_proj'],
};

export interface Folders {
  readonly checkpoint: ModelFiles;
  readonly base?: ModelFiles;
  readonly visionTower: ModelFiles;
}

type Files = Record<string, Uint8Array>;

/** A whole checkpoint beside its tower. `change` may break any file. */
export function wholeFolders(tiny: Tiny = published, change: Files = {}, drafts: Drafts = {}): Folders {
  return {
    checkpoint: folder({
      'config.json': json(llavaConfig()),
      'model.safetensors': safetensors({ ...languageDrafts(), ...trainedDrafts(tiny), ...drafts }),
      ...tokenizerFiles,
      ...change,
    }),
    visionTower: towerFolder(tiny),
  };
}

export function towerFolder(tiny: Pick<Tiny, 'grid'> = published): ModelFiles {
  return folder({
    'config.json': json(towerConfig(tiny)),
    'preprocessor_config.json': json(preprocessorConfig),
    'model.safetensors': safetensors(towerDrafts(tiny)),
  });
}

/** An adapter, what was trained beside it, the base and the tower. `change` replaces files of the adapter's folder. */
export function loraFolders(change: Files = {}): Folders {
  const trained = Object.entries(trainedDrafts(published)).map(([name, draft]) => [
    `base_model.model.${name}`,
    draft,
  ]);
  return {
    checkpoint: folder({
      'config.json': json(llavaConfig()),
      'adapter_config.json': json(adapterConfig),
      'adapter_model.safetensors': safetensors(adapterDrafts()),
      'non_lora_trainables.safetensors': safetensors(Object.fromEntries(trained) as Drafts),
      ...change,
    }),
    base: folder({
      'config.json': json({ ...llavaConfig(), model_type: 'llama' }),
      'model.safetensors': safetensors(languageDrafts()),
      ...tokenizerFiles,
    }),
    visionTower: towerFolder(),
  };
}

/** Opens a plan, and closes it after `use`. */
export async function withPlan<T>(sources: PlanSources, use: (plan: Plan) => T): Promise<T> {
  const plan = await openPlan(sources);
  try {
    return use(plan);
  } finally {
    await plan.close();
  }
}
