import type { Fields } from '../fields.ts';
import {
  activation,
  contexts,
  epsilons,
  headCounts,
  known,
  layerCounts,
  maxTensorElements,
  thetas,
  vocabularies,
  widths,
} from './limits.ts';
import type { TextConfig } from './types.ts';

/** What Hugging Face's LlamaConfig takes where a field is left out. */
const llama = {
  hidden_size: 4096,
  intermediate_size: 11_008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  vocab_size: 32_000,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-6,
  bos_token_id: 1,
  eos_token_id: 2,
} as const;

/** `text_config`. `hugging`: fields that are left out have the defaults of Hugging Face's LlamaConfig. */
export function parseText(text: Fields, hugging: boolean): TextConfig {
  const type = known(text, 'model_type', ['llama', 'qwen2'], 'llama');
  const absent: Partial<typeof llama> = hugging && type === 'llama' ? llama : {};
  const width = text.integer('hidden_size', widths, absent.hidden_size);
  const heads = text.integer('num_attention_heads', headCounts, absent.num_attention_heads);
  const kvHeads = text.integer('num_key_value_heads', headCounts, heads);
  if (!text.has('head_dim') && width % heads !== 0) {
    throw text.error('num_attention_heads', `a divisor of hidden_size ${width} when head_dim is absent`);
  }
  if (heads % kvHeads !== 0)
    throw text.error('num_key_value_heads', `a divisor of num_attention_heads ${heads}`);
  const headDim = text.integer('head_dim', { min: 2, max: 1024 }, width / heads);
  // Rotary positions turn pairs of elements.
  if (headDim % 2 !== 0) throw text.error('head_dim', `even (it is ${headDim})`);
  if (heads * headDim > widths.max)
    throw text.error('head_dim', `at most ${widths.max} with all ${heads} heads`);
  const vocab = text.integer('vocab_size', vocabularies, absent.vocab_size);
  if (vocab * width > maxTensorElements)
    throw text.error('vocab_size', `at most ${maxTensorElements} embedding weights`);
  if (text.boolean('use_sliding_window', false))
    throw text.error('use_sliding_window', 'false: attention over a window alone is not known');
  activation(text, 'hidden_act', 'silu', ['silu']);
  return {
    type,
    width,
    mlp: text.integer('intermediate_size', widths, absent.intermediate_size),
    layers: text.integer('num_hidden_layers', layerCounts, absent.num_hidden_layers),
    heads,
    kvHeads,
    headDim,
    vocab,
    eps: text.number('rms_norm_eps', epsilons, absent.rms_norm_eps ?? (type === 'qwen2' ? 1e-6 : 1e-5)),
    ropeTheta: parseTheta(text),
    context: text.integer('max_position_embeddings', contexts, absent.max_position_embeddings),
    tied: text.boolean('tie_word_embeddings', false),
    attentionBias: text.boolean('attention_bias', type === 'qwen2'),
    ...parseEnds(text, vocab, absent),
  };
}

/** `rope_theta`, or inside `rope_parameters`, as newer releases of Hugging Face write it. */
function parseTheta(text: Fields): number {
  if (text.has('rope_scaling'))
    throw text.error('rope_scaling', 'absent or null: scaled rotary positions are not known');
  if (!text.has('rope_parameters')) return text.number('rope_theta', thetas, 10_000);
  const rope = text.fields('rope_parameters');
  rope.oneOf('rope_type', ['default'], 'default');
  return rope.number('rope_theta', thetas, 10_000);
}

function parseEnds(
  text: Fields,
  vocab: number,
  absent: { readonly bos_token_id?: number; readonly eos_token_id?: number },
): Pick<TextConfig, 'bos' | 'eos'> {
  const ids = { min: 0, max: vocab - 1 };
  const hasStart = text.has('bos_token_id') || absent.bos_token_id !== undefined;
  const bos = hasStart ? text.integer('bos_token_id', ids, absent.bos_token_id) : null;
  const eos = text.raw('eos_token_id') ?? absent.eos_token_id;
  if (eos === undefined) return { bos, eos: [] };
  const list: unknown[] = Array.isArray(eos) ? eos : [eos];
  const valid = list.every(
    (id): id is number => Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocab,
  );
  if (!valid || list.length > 64)
    throw text.error('eos_token_id', `an id below ${vocab}, or a short list of them`);
  return { bos, eos: [...list] };
}
