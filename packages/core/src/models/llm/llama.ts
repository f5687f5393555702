import {
  attentionCached,
  embed,
  kvWrite,
  linear,
  rmsNorm,
  rotary,
  swiglu,
  type Recorder,
  type Tensor,
  type WeightRef,
} from '../../ops/index.ts';
import type { TextConfig } from '../config/types.ts';

const ROOT = 'language_model.model.';

/** Token embeddings: ids u32 `[rows, 1]` into y `[rows, width]`. */
export function llamaEmbed(r: Recorder, text: TextConfig, ids: Tensor, y: Tensor): void {
  embed(r, ids, embeddings(r, text), y);
}

/**
 * The LLaMA decoder's layers (specification section 6) over x `[rows, width]`, whose first row has the position
 * `pos`; appends to the KV caches. Grouped KV heads, and biases on q, k, v where the configuration says so.
 */
export function llamaLayers(r: Recorder, text: TextConfig, input: Tensor): Tensor {
  const { width, mlp, heads, kvHeads, headDim, eps, ropeTheta, context } = text;
  let x = input;
  for (let i = 0; i < text.layers; i++) {
    const layer = `${ROOT}layers.${i}.`;
    const h = norm(`${layer}input_layernorm`, x);
    const q = project(`${layer}self_attn.q_proj`, h, heads * headDim, {
      units: kvHeads,
      bias: text.attentionBias,
    });
    const k = project(`${layer}self_attn.k_proj`, h, kvHeads * headDim, {
      units: kvHeads,
      bias: text.attentionBias,
    });
    const v = project(`${layer}self_attn.v_proj`, h, kvHeads * headDim, {
      units: kvHeads,
      bias: text.attentionBias,
    });
    rotary(r, q, heads, headDim, ropeTheta);
    rotary(r, k, kvHeads, headDim, ropeTheta);
    const cache = r.cache({ layer: i, kvHeads, headDim, context });
    kvWrite(r, k, v, cache);
    const a = attentionCached(r, q, cache, heads, `${layer}attention`);
    x = project(`${layer}self_attn.o_proj`, a, width, { residual: x });
    const m = norm(`${layer}post_attention_layernorm`, x);
    const gate = project(`${layer}mlp.gate_proj`, m, mlp);
    const up = project(`${layer}mlp.up_proj`, m, mlp);
    x = project(`${layer}mlp.down_proj`, swiglu(r, gate, up, `${layer}mlp.act`), width, { residual: x });
  }
  return x;

  function norm(name: string, t: Tensor): Tensor {
    return rmsNorm(r, t, r.vector(`${name}.weight`, width), eps);
  }

  function project(
    name: string,
    t: Tensor,
    n: number,
    options: { units?: number; residual?: Tensor; bias?: boolean } = {},
  ): Tensor {
    const w = r.matrix(`${name}.weight`, n, t.cols, { units: options.units });
    const bias = options.bias ? r.vector(`${name}.bias`, n) : undefined;
    return linear(r, t, w, { residual: options.residual, bias });
  }
}

/** Logits `[1, vocab]` of one row of the last layer's output, as the program output `logits`. */
export function llamaLogits(r: Recorder, text: TextConfig, x: Tensor): Tensor {
  const h = rmsNorm(r, x, r.vector(`${ROOT}norm.weight`, text.width), text.eps);
  const head = text.tied
    ? embeddings(r, text)
    : r.matrix('language_model.lm_head.weight', text.vocab, text.width);
  return linear(r, h, head, { y: r.output('logits', x.rows, text.vocab) });
}

function embeddings(r: Recorder, text: TextConfig): WeightRef {
  return r.matrix(`${ROOT}embed_tokens.weight`, text.vocab, text.width);
}
