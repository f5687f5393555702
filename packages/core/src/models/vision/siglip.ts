import type { Recorder, Tensor } from '../../ops/index.ts';
import type { VisionConfig } from '../config/types.ts';
import { embedPatches, encoderLayers } from './encoder.ts';

/**
 * The SigLIP vision transformer up to the selected hidden state (specification section 2): pixels
 * `[1, channels * side * side]` to patch features `[grid * grid, width]`. No class token, no norm before the first layer.
 */
export function siglip(r: Recorder, vision: VisionConfig, featureLayer: number, pixels: Tensor): Tensor {
  const first = embedPatches(r, vision, pixels, {
    classToken: false,
    bias: true,
    name: 'vision.hidden_states.0',
  });
  return encoderLayers(r, vision, featureLayer, first);
}
