import {
  colsOf,
  copy,
  crossAttention,
  layerNorm,
  linear,
  unfold,
  type Recorder,
  type Tensor,
} from '../../ops/index.ts';
import type { DetailConfig } from '../config/types.ts';

const ROOT = 'spatial_features.detail.';
/** LayerNorm's epsilon in the Detail Feature Integrator (specification section 4). */
const EPS = 1e-5;

/**
 * The Detail Feature Integrator (paper section 3.3; specification section 4): the spatial features f `[N, S]` ask
 * the fine-grained map F_ms `[positions, S]` by one head of cross-attention; returns `[f, a]`, `[N, 2S]`. The
 * attention map `[N, positions]`, the paper's figure 5, is the program output `detail.attention`.
 */
export function integrateDetail(
  r: Recorder,
  detail: DetailConfig,
  grid: number,
  features: Tensor,
  f: Tensor,
): Tensor {
  const size = f.cols;
  const { kernel, stride } = detail;
  const windows = unfold(r, features, grid, kernel, stride, 'detail.windows');
  const conv = r.matrix(`${ROOT}conv.weight`, size, windows.cols, { kernel });
  const fine = linear(r, windows, conv, { name: 'detail.features' });

  const q = project('query', f);
  const k = project('key', fine);
  const v = project('value', fine);
  const map = r.output('detail.attention', f.rows, fine.rows);
  const a = r.tensor('detail.output', f.rows, size);
  crossAttention(r, q, k, v, map, a);

  const joined = r.tensor('detail.joined', f.rows, 2 * size);
  copy(r, f, colsOf(joined, 0, size));
  copy(r, a, colsOf(joined, size, size));
  return joined;

  function project(name: string, input: Tensor): Tensor {
    const norm = layerNorm(
      r,
      input,
      r.vector(`${ROOT}${name}_norm.weight`, size),
      r.vector(`${ROOT}${name}_norm.bias`, size),
      EPS,
    );
    const w = r.matrix(`${ROOT}${name}_proj.weight`, size, size);
    return linear(r, norm, w, { bias: r.vector(`${ROOT}${name}_proj.bias`, size), name: `detail.${name}` });
  }
}
