import { rowsOf, type Recorder, type Tensor } from '../../ops/index.ts';
import type { VisionConfig } from '../config/types.ts';
import { embedPatches, encoderLayers, towerNorm } from './encoder.ts';

/**
 * The CLIP vision transformer up to the selected hidden state (specification section 2): pixels
 * `[1, channels * side * side]` to patch features `[grid * grid, width]`, the class token dropped.
 */
export function clip(r: Recorder, vision: VisionConfig, featureLayer: number, pixels: Tensor): Tensor {
  const embedded = embedPatches(r, vision, pixels, {
    classToken: true,
    bias: false,
    name: 'vision.embeddings',
  });
  // The checkpoint's own spelling.
  const first = towerNorm(r, vision, 'pre_layrnorm', embedded, 'vision.hidden_states.0');
  return rowsOf(encoderLayers(r, vision, featureLayer, first), 1, vision.grid ** 2);
}
