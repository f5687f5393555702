import { crop, linear, pool, rowsOf, type Recorder, type Tensor } from '../../ops/index.ts';
import type { SpatialConfig } from '../config/types.ts';
import { extractByTransformer } from './transformer.ts';

/** The input of a vision program whose extractors are transformers: u32 `[1, 1]`, always 0. */
export const QUERY_ROW = 'spatial.query_row';

/**
 * The Spatial Feature Extractor (paper section 3.2; specification section 3): grid features `[grid * grid, C]` to one
 * vector of S for each kernel, `[N, S]`. Cropping takes centred windows, from the central region to the whole;
 * pooling takes adaptive averages of the whole, from abstract to specific. Each map goes through the bias-free
 * convolution that covers it: a matrix-vector product of length `kernel^2 * C`; or, in the paper's ablation, through a
 * transformer of its own.
 */
export function spatialFeatures(r: Recorder, spatial: SpatialConfig, grid: number, features: Tensor): Tensor {
  const window = spatial.type === 'cropping' ? crop : pool;
  const out = r.tensor('spatial.features', spatial.tokens, spatial.features);
  const { transformer } = spatial;
  const first = transformer ? r.input(QUERY_ROW, 1, 1, 'u32') : null;
  spatial.kernels.forEach((kernel, i) => {
    const map = window(r, features, grid, kernel, `spatial.map.${i}`);
    const y = rowsOf(out, i, 1);
    if (transformer && first) {
      const { cols } = features;
      const patches: Tensor = { ...map, rows: kernel * kernel, cols, ld: cols };
      extractByTransformer(r, transformer, `spatial_features.transformer_${kernel}.`, patches, first, y);
    } else {
      const w = r.matrix(`spatial_features.conv_${kernel}.weight`, spatial.features, map.cols, { kernel });
      linear(r, map, w, { y });
    }
  });
  return out;
}
