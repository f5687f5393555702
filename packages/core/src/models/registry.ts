/**
 * The one place that joins the model families: a new vision encoder or language model is a file in its folder and a
 * line here.
 */
import { rowsOf, type Recorder, type Tensor } from '../ops/index.ts';
import type { ModelConfig, TextConfig } from './config.ts';
import { llamaEmbed, llamaLayers, llamaLogits } from './llm/llama.ts';
import { projectPatches, projectSpatial, shufflePatches } from './projector.ts';
import { integrateDetail } from './spatial/detail.ts';
import { spatialFeatures } from './spatial/windows.ts';
import { clip } from './vision/clip.ts';
import { internVit } from './vision/intern_vit.ts';
import { siglip } from './vision/siglip.ts';
import { patchSide } from './visual.ts';

export { imageNewline } from './projector.ts';
export { QUERY_ROW } from './spatial/windows.ts';

const visionEncoders: Record<ModelConfig['vision']['type'], typeof clip> = {
  clip,
  siglip,
  intern_vit: internVit,
};

interface Decoder {
  embed(r: Recorder, text: TextConfig, ids: Tensor, y: Tensor): void;
  layers(r: Recorder, text: TextConfig, x: Tensor): Tensor;
  logits(r: Recorder, text: TextConfig, x: Tensor): Tensor;
}

const llama: Decoder = { embed: llamaEmbed, layers: llamaLayers, logits: llamaLogits };

const decoders: Record<ModelConfig['text']['type'], Decoder> = {
  llama,
  // Its differences, biases and grouped heads, are LLaMA's own options.
  qwen2: llama,
};

/** The decoder family of a configuration. */
export function decoderOf(config: ModelConfig): Decoder {
  return decoders[config.text.type];
}

/**
 * Pixels `[1, channels * side * side]` to the visual tokens `[N + P, H]` of one input: vision tower, spatial features,
 * detail, projectors. Without spatial features this is LLaVA-1.5. P is the number of patches, or a fourth of it with the
 * pixel shuffle.
 */
export function visualTokens(r: Recorder, config: ModelConfig, pixels: Tensor, y: Tensor): void {
  const { vision, spatial, projectorAct, downsample } = config;
  const features = visionEncoders[vision.type](r, vision, config.visionFeatureLayer, pixels);
  const first = spatial?.tokens ?? 0;
  if (spatial) {
    const f = spatialFeatures(r, spatial, vision.grid, features);
    const { detail } = spatial;
    const x = detail ? integrateDetail(r, detail, vision.grid, features, f) : f;
    projectSpatial(r, x, detail !== null, y);
  }
  const patches = rowsOf(y, first, patchSide(config) ** 2);
  if (downsample === 2) shufflePatches(r, features, vision.grid, projectorAct, patches);
  else projectPatches(r, features, projectorAct, patches);
}
