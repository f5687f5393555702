import { rowsOf, type Recorder, type Tensor } from '../../ops/index.ts';
import type { VisionConfig } from '../config/types.ts';
import { embedPatches, encoderLayers } from './encoder.ts';

/**
 * InternViT up to the selected hidden state (specification section 2): pixels `[1, channels * side * side]` to patch
 * features `[grid * grid, width]`, the class token dropped.
 */
export function internVit(r: Recorder, vision: VisionConfig, featureLayer: number, pixels: Tensor): Tensor {
  const first = embedPatches(r, vision, pixels, {
    classToken: true,
    bias: true,
    name: 'vision.hidden_states.0',
  });
  return rowsOf(encoderLayers(r, vision, featureLayer, first), 1, vision.grid ** 2);
}
