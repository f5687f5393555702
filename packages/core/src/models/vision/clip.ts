import {
  assembleCls,
  attention,
  layerNorm,
  linear,
  patchify,
  rowsOf,
  type Recorder,
  type Tensor,
} from '../../ops/index.ts';
import type { VisionConfig } from '../config.ts';

const ROOT = 'vision_tower.vision_model.';

/** How many encoder layers the selected features need: the layers behind them are neither loaded nor run. */
export function clipLayersNeeded(vision: VisionConfig, featureLayer: number): number {
  // hidden_states has layers + 1 entries; entry 0 is the input of the first layer.
  return featureLayer < 0 ? vision.layers + 1 + featureLayer : featureLayer;
}

/**
 * The CLIP vision transformer up to the selected hidden state (specification section 2): pixels
 * `[1, channels * side * side]` to patch features `[grid * grid, width]`, the class token dropped.
 */
export function clip(r: Recorder, vision: VisionConfig, featureLayer: number, pixels: Tensor): Tensor {
  const { width, heads, mlp, eps, grid, patch, channels } = vision;
  const patches = patchify(r, pixels, channels, grid, patch);
  const embedding = r.matrix(`${ROOT}embeddings.patch_embedding.weight`, width, channels * patch * patch);
  const embedded = linear(r, patches, embedding, { name: 'vision.patch_embeddings' });
  const withClass = assembleCls(
    r,
    embedded,
    r.vector(`${ROOT}embeddings.class_embedding`, width),
    r.vector(`${ROOT}embeddings.position_embedding.weight`, (grid * grid + 1) * width),
    'vision.embeddings',
  );
  // The checkpoint's own spelling.
  let x = norm('pre_layrnorm', withClass, 'vision.hidden_states.0');

  const layers = clipLayersNeeded(vision, featureLayer);
  for (let i = 0; i < layers; i++) {
    const layer = `encoder.layers.${i}.`;
    const h = norm(`${layer}layer_norm1`, x);
    const q = project(`${layer}self_attn.q_proj`, h, width, { units: heads });
    const k = project(`${layer}self_attn.k_proj`, h, width, { units: heads });
    const v = project(`${layer}self_attn.v_proj`, h, width, { units: heads });
    const a = attention(r, q, k, v, heads, `${layer}attention`);
    x = project(`${layer}self_attn.out_proj`, a, width, { residual: x });
    const m = project(`${layer}mlp.fc1`, norm(`${layer}layer_norm2`, x), mlp, { act: vision.act });
    x = project(`${layer}mlp.fc2`, m, width, { residual: x, name: `vision.hidden_states.${i + 1}` });
  }
  return rowsOf(x, 1, grid * grid);

  function norm(name: string, input: Tensor, output = `${ROOT}${name}`): Tensor {
    const w = r.vector(`${ROOT}${name}.weight`, width);
    const b = r.vector(`${ROOT}${name}.bias`, width);
    return layerNorm(r, input, w, b, eps, output);
  }

  function project(
    name: string,
    input: Tensor,
    n: number,
    options: { units?: number; residual?: Tensor; act?: VisionConfig['act']; name?: string },
  ): Tensor {
    const w = r.matrix(`${ROOT}${name}.weight`, n, input.cols, { units: options.units });
    return linear(r, input, w, { ...options, bias: r.vector(`${ROOT}${name}.bias`, n) });
  }
}
