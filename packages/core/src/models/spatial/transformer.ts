import {
  attention,
  colsOf,
  copy,
  crossAttention,
  embed,
  layerNorm,
  linear,
  type Activation,
  type Recorder,
  type Tensor,
} from '../../ops/index.ts';
import type { SpatialTransformerConfig } from '../config/types.ts';

/** `torch.nn.Transformer`'s. */
const EPS = 1e-5;

/**
 * The ablation's extractor for one map (specification section 3): x `[k * k, C]`, the map's patches, to y `[1, C]`.
 * It is `torch.nn.Transformer` with norms first and no biases in its linears: an encoder over the patches, and a decoder
 * with one learned query, which attends to itself (one position: softmax is 1, so its values are the answer) and to the
 * encoder's output.
 *
 * @param root of the weights' names, with the dot.
 * @param first u32 `[1, 1]`, 0: the row of the query in its table.
 */
export function extractByTransformer(
  r: Recorder,
  { layers, heads, mlp }: SpatialTransformerConfig,
  root: string,
  map: Tensor,
  first: Tensor,
  y: Tensor,
): void {
  const width = map.cols;
  let x = map;
  for (let i = 0; i < layers; i++) {
    const layer = `${root}encoder.layers.${i}.`;
    const h = norm(`${layer}norm1`, x);
    const q = project(`${layer}self_attn.q_proj`, h, { units: heads });
    const k = project(`${layer}self_attn.k_proj`, h, { units: heads });
    const v = project(`${layer}self_attn.v_proj`, h, { units: heads });
    const a = attention(r, q, k, v, heads, `${layer}attention`);
    x = project(`${layer}self_attn.out_proj`, a, { residual: x });
    x = feedForward(layer, norm(`${layer}norm2`, x), x);
  }
  const memory = norm(`${root}encoder.norm`, x);

  const table = r.matrix(`${root}query.weight`, 1, width);
  let query = embed(r, first, table, r.tensor(`${root}query`, 1, width));
  for (let i = 0; i < layers; i++) {
    const layer = `${root}decoder.layers.${i}.`;
    const own = project(`${layer}self_attn.v_proj`, norm(`${layer}norm1`, query));
    query = project(`${layer}self_attn.out_proj`, own, { residual: query });
    const a = attendTo(memory, layer, norm(`${layer}norm2`, query));
    query = project(`${layer}cross_attn.out_proj`, a, { residual: query });
    query = feedForward(layer, norm(`${layer}norm3`, query), query);
  }
  copy(r, norm(`${root}decoder.norm`, query), y);

  /** Heads of different rows for q and for k: one command a head, on its columns. */
  function attendTo(source: Tensor, layer: string, input: Tensor): Tensor {
    const q = project(`${layer}cross_attn.q_proj`, input);
    const k = project(`${layer}cross_attn.k_proj`, source);
    const v = project(`${layer}cross_attn.v_proj`, source);
    const out = r.tensor(`${layer}cross_attention`, 1, width);
    const head = width / heads;
    for (let h = 0; h < heads; h++) {
      const of = (t: Tensor) => colsOf(t, h * head, head);
      const weights = r.tensor(`${layer}cross_attention.map.${h}`, 1, source.rows);
      crossAttention(r, of(q), of(k), of(v), weights, of(out));
    }
    return out;
  }

  function feedForward(layer: string, input: Tensor, residual: Tensor): Tensor {
    const h = project(`${layer}linear1`, input, { n: mlp, act: 'relu' });
    return project(`${layer}linear2`, h, { residual });
  }

  function norm(name: string, t: Tensor): Tensor {
    return layerNorm(r, t, r.vector(`${name}.weight`, width), r.vector(`${name}.bias`, width), EPS, name);
  }

  function project(
    name: string,
    t: Tensor,
    options: { n?: number; units?: number; act?: Activation; residual?: Tensor } = {},
  ): Tensor {
    const { n = width, units, ...rest } = options;
    return linear(r, t, r.matrix(`${name}.weight`, n, t.cols, { units }), rest);
  }
}
