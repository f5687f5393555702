import {
  assembleCls,
  attention,
  layerNorm,
  linear,
  patchify,
  rmsNorm,
  type Recorder,
  type Tensor,
  type WeightRef,
} from '../../ops/index.ts';
import type { VisionConfig } from '../config/types.ts';

const ROOT = 'vision_tower.vision_model.';

/** How many encoder layers the selected features need: the layers behind them are neither loaded nor run. */
export function layersNeeded(vision: VisionConfig, featureLayer: number): number {
  // hidden_states has layers + 1 entries; entry 0 is the input of the first layer.
  return vision.layers + 1 + featureLayer;
}

/**
 * Pixels `[1, channels * side * side]` to patches plus positions: `[1 + P, width]` with a class token first, else
 * `[P, width]`. `bias`: whether the patch embedding has one.
 */
export function embedPatches(
  r: Recorder,
  vision: VisionConfig,
  pixels: Tensor,
  { classToken, bias, name }: { classToken: boolean; bias: boolean; name: string },
): Tensor {
  const { width, grid, patch, channels } = vision;
  const embeddings = `${ROOT}embeddings.`;
  const patches = patchify(r, pixels, channels, grid, patch);
  const w = r.matrix(`${embeddings}patch_embedding.weight`, width, channels * patch * patch);
  const embedded = linear(r, patches, w, {
    name: 'vision.patch_embeddings',
    bias: bias ? r.vector(`${embeddings}patch_embedding.bias`, width) : undefined,
  });
  const rows = grid * grid + (classToken ? 1 : 0);
  const cls = classToken ? r.vector(`${embeddings}class_embedding`, width) : null;
  const pos = r.vector(`${embeddings}position_embedding.weight`, rows * width);
  return assembleCls(r, embedded, cls, pos, name);
}

/** The LayerNorm of this name in the tower. */
export function towerNorm(
  r: Recorder,
  { width, eps }: VisionConfig,
  name: string,
  x: Tensor,
  output = `${ROOT}${name}`,
): Tensor {
  const w = r.vector(`${ROOT}${name}.weight`, width);
  return layerNorm(r, x, w, r.vector(`${ROOT}${name}.bias`, width), eps, output);
}

/**
 * The encoder's layers up to the selected hidden state, x `[rows, width]` to the same shape: attention and MLP, each
 * behind a LayerNorm and added to its input. InternViT's LayerScale is folded into the weights by the converter.
 */
export function encoderLayers(
  r: Recorder,
  vision: VisionConfig,
  featureLayer: number,
  input: Tensor,
): Tensor {
  const { width, heads, mlp, eps, qkvBias, qkNorm } = vision;
  const layers = layersNeeded(vision, featureLayer);
  let x = input;
  for (let i = 0; i < layers; i++) {
    const layer = `encoder.layers.${i}.`;
    const h = towerNorm(r, vision, `${layer}layer_norm1`, x);
    const q = normed(`${layer}self_attn.q_norm`, project(`${layer}self_attn.q_proj`, h, qkv()));
    const k = normed(`${layer}self_attn.k_norm`, project(`${layer}self_attn.k_proj`, h, qkv()));
    const v = project(`${layer}self_attn.v_proj`, h, qkv());
    const a = attention(r, q, k, v, heads, `${layer}attention`);
    x = project(`${layer}self_attn.out_proj`, a, { residual: x });
    const norm2 = towerNorm(r, vision, `${layer}layer_norm2`, x);
    const m = project(`${layer}mlp.fc1`, norm2, { n: mlp, act: vision.act });
    x = project(`${layer}mlp.fc2`, m, { residual: x, name: `vision.hidden_states.${i + 1}` });
  }
  return x;

  function qkv(): ProjectOptions {
    return { units: heads, biased: qkvBias };
  }

  function normed(name: string, t: Tensor): Tensor {
    return qkNorm ? rmsNorm(r, t, r.vector(`${ROOT}${name}.weight`, width), eps) : t;
  }

  function project(name: string, t: Tensor, options: ProjectOptions): Tensor {
    const { n = width, units, biased = true, ...rest } = options;
    const w = r.matrix(`${ROOT}${name}.weight`, n, t.cols, { units });
    const bias: WeightRef | undefined = biased ? r.vector(`${ROOT}${name}.bias`, n) : undefined;
    return linear(r, t, w, { ...rest, bias });
  }
}

interface ProjectOptions {
  /** Columns of the result; the tower's width when absent. */
  readonly n?: number;
  readonly units?: number;
  readonly residual?: Tensor;
  readonly act?: VisionConfig['act'];
  readonly name?: string;
  readonly biased?: boolean;
}
