import { activation, linear, rowsOf, type Activation, type Recorder, type Tensor } from '../ops/index.ts';

const PATCH = 'multi_modal_projector.';
const SPATIAL = 'spatial_features.projector.';

/** Patch features `[P, C]` into y `[P, H]`: Linear, activation (as published GELU, erf), Linear (specification section 5). */
export function projectPatches(r: Recorder, features: Tensor, act: Activation, y: Tensor): void {
  const width = y.cols;
  const w1 = r.matrix(`${PATCH}linear_1.weight`, width, features.cols);
  const w2 = r.matrix(`${PATCH}linear_2.weight`, width, width);
  const h = linear(r, features, w1, { bias: r.vector(`${PATCH}linear_1.bias`, width), act });
  linear(r, h, w2, { bias: r.vector(`${PATCH}linear_2.bias`, width), y });
}

/**
 * Spatial features into the first rows of the visual tokens: `Linear(GELU(x))`; with a bias when they passed the
 * Detail Feature Integrator, without one when not (specification section 5).
 */
export function projectSpatial(r: Recorder, x: Tensor, bias: boolean, y: Tensor): void {
  const w = r.matrix(`${SPATIAL}weight`, y.cols, x.cols);
  const h = activation(r, x, 'gelu', 'spatial.gelu');
  linear(r, h, w, { bias: bias ? r.vector(`${SPATIAL}bias`, y.cols) : undefined, y: rowsOf(y, 0, x.rows) });
}
