import {
  activation,
  embed,
  layerNorm,
  linear,
  rowsOf,
  unfold,
  type Activation,
  type Recorder,
  type Tensor,
} from '../ops/index.ts';

const PATCH = 'multi_modal_projector.';
const SPATIAL = 'spatial_features.projector.';
/** LayerNorm's epsilon before InternVL's projector: PyTorch's own. */
const EPS = 1e-5;

/** Patch features `[P, C]` into y `[P, H]`: Linear, activation (as published GELU, erf), Linear (specification section 5). */
export function projectPatches(r: Recorder, features: Tensor, act: Activation, y: Tensor): void {
  const width = y.cols;
  const w1 = r.matrix(`${PATCH}linear_1.weight`, width, features.cols);
  const w2 = r.matrix(`${PATCH}linear_2.weight`, width, width);
  const h = linear(r, features, w1, { bias: r.vector(`${PATCH}linear_1.bias`, width), act });
  linear(r, h, w2, { bias: r.vector(`${PATCH}linear_2.bias`, width), y });
}

/**
 * InternVL's patch tokens (specification section 2): the pixel shuffle makes of every 2 x 2 patches of `[P, C]` one row of
 * 4C, in the order (row, column, channel); then LayerNorm and {@link projectPatches}.
 */
export function shufflePatches(
  r: Recorder,
  features: Tensor,
  grid: number,
  act: Activation,
  y: Tensor,
): void {
  const blocks = unfold(r, features, grid, 2, 2, 'projector.blocks');
  const w = r.vector(`${PATCH}norm.weight`, blocks.cols);
  const b = r.vector(`${PATCH}norm.bias`, blocks.cols);
  projectPatches(r, layerNorm(r, blocks, w, b, EPS), act, y);
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

/** LLaVA-1.6's learned end of a row of patches, `[1, H]`; `ids` u32 `[1, 1]` is its row in its table: 0. */
export function imageNewline(r: Recorder, ids: Tensor, y: Tensor): void {
  embed(r, ids, r.matrix('image_newline.weight', 1, y.cols), y);
}
