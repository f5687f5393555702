/**
 * The one place that joins the model families: a new vision encoder or language model is a file in its folder and a
 * line here.
 */
import { rowsOf, type Recorder, type Tensor } from '../ops/index.ts';
import type { ModelConfig, TextConfig } from './config.ts';
import { llamaEmbed, llamaLayers, llamaLogits } from './llm/llama.ts';
import { projectPatches, projectSpatial } from './projector.ts';
import { integrateDetail } from './spatial/detail.ts';
import { spatialFeatures } from './spatial/windows.ts';
import { clip } from './vision/clip.ts';

const visionEncoders: Record<ModelConfig['vision']['type'], typeof clip> = { clip };

interface Decoder {
  embed(r: Recorder, text: TextConfig, ids: Tensor, y: Tensor): void;
  layers(r: Recorder, text: TextConfig, x: Tensor): Tensor;
  logits(r: Recorder, text: TextConfig, x: Tensor): Tensor;
}

const decoders: Record<ModelConfig['text']['type'], Decoder> = {
  llama: { embed: llamaEmbed, layers: llamaLayers, logits: llamaLogits },
};

/** The decoder family of a configuration. */
export function decoderOf(config: ModelConfig): Decoder {
  return decoders[config.text.type];
}

/** N spatial tokens, then the P patch tokens. */
export function visualTokenCount(config: ModelConfig): number {
  return (config.spatial?.tokens ?? 0) + config.vision.grid ** 2;
}

/**
 * Pixels `[1, channels * side * side]` to the visual tokens `[N + P, H]`: vision tower, spatial features, detail,
 * projectors. Without spatial features this is LLaVA-1.5.
 */
export function visualTokens(r: Recorder, config: ModelConfig, pixels: Tensor, y: Tensor): void {
  const { vision, spatial } = config;
  const features = visionEncoders[vision.type](r, vision, config.visionFeatureLayer, pixels);
  const first = spatial?.tokens ?? 0;
  if (spatial) {
    const f = spatialFeatures(r, spatial, vision.grid, features);
    const { detail } = spatial;
    const x = detail ? integrateDetail(r, detail, vision.grid, features, f) : f;
    projectSpatial(r, x, detail !== null, y);
  }
  projectPatches(r, features, config.projectorAct, rowsOf(y, first, vision.grid ** 2));
}
