import { crop, linear, pool, rowsOf, type Recorder, type Tensor } from '../../ops/index.ts';
import type { SpatialConfig } from '../config.ts';

/**
 * The Spatial Feature Extractor (paper section 3.2; specification section 3): grid features `[grid * grid, C]` to one
 * vector of S for each kernel, `[N, S]`. Cropping takes centred windows, from the central region to the whole;
 * pooling takes adaptive averages of the whole, from abstract to specific. Each map goes through the bias-free
 * convolution that covers it: a matrix-vector product of length `kernel^2 * C`.
 */
export function spatialFeatures(r: Recorder, spatial: SpatialConfig, grid: number, features: Tensor): Tensor {
  const window = spatial.type === 'cropping' ? crop : pool;
  const out = r.tensor('spatial.features', spatial.tokens, spatial.features);
  spatial.kernels.forEach((kernel, i) => {
    const map = window(r, features, grid, kernel, `spatial.map.${i}`);
    const w = r.matrix(`spatial_features.conv_${kernel}.weight`, spatial.features, map.cols, { kernel });
    linear(r, map, w, { y: rowsOf(out, i, 1) });
  });
  return out;
}
