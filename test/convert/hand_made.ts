/** Plans made by hand: what a converter writes can be told without a published checkpoint. */
import type { ModelFiles } from '../../packages/core/src/host.ts';
import type { FloatDType, Plan, PlannedTensor, SourceTensor } from '../../packages/convert/src/contract.ts';

/** Seeded normals of this size. */
export function normals(count: number, seed: number, size = 0.05): Float32Array<ArrayBuffer> {
  let state = seed * 2_654_435_761 + 1;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 1) / (2 ** 32 + 1);
  };
  return Float32Array.from(
    { length: count },
    () => size * Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random()),
  );
}

/** As bf16, cut off; and what that is as float32. */
export function toBf16(values: Float32Array): { bytes: Uint8Array; exact: Float32Array } {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = Uint16Array.from(bits, (word) => word >>> 16);
  const exact = new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
  return { bytes: new Uint8Array(halves.buffer), exact };
}

/** A published tensor in memory; `read` gives copies, at odd offsets of larger buffers. */
export function sourceOf(
  name: string,
  shape: readonly number[],
  bytes: Uint8Array,
  dtype: FloatDType = 'F32',
): SourceTensor {
  const rowBytes = bytes.length / (shape[0] ?? 1);
  return {
    name,
    dtype,
    shape,
    bytes: bytes.length,
    async read(begin, end) {
      const copy = new Uint8Array(1 + (end - begin) * rowBytes);
      copy.set(bytes.subarray(begin * rowBytes, end * rowBytes), 1);
      return copy.subarray(1);
    },
  };
}

export function f32Source(name: string, shape: readonly number[], values: Float32Array): SourceTensor {
  return sourceOf(name, shape, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}

export function planned(
  name: string,
  source: SourceTensor,
  more: Partial<PlannedTensor> = {},
): PlannedTensor {
  const { shape } = source;
  const kind = shape.length > 1 ? 'matrix' : 'vector';
  const rest = { rows: [0, shape[0]] as const, kernel: 0, lora: null, rowScale: null };
  return { name, part: 'llm', kind, shape, source, ...rest, ...more };
}

const tokenizer = {
  version: '1.0',
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  model: { type: 'BPE', vocab: { '<s>': 0, '</s>': 1, a: 2 }, merges: [] },
};

/** Files of a folder that is only in memory. */
export function memoryFiles(contents: Readonly<Record<string, Uint8Array | string>>): ModelFiles {
  const bytesOf = (name: string): Uint8Array | undefined => {
    const content = contents[name];
    return typeof content === 'string' ? new TextEncoder().encode(content) : content;
  };
  return {
    location: 'memory',
    has: async (name) => bytesOf(name) !== undefined,
    async open(name) {
      const bytes = bytesOf(name);
      if (!bytes) throw new Error(`no ${name}`);
      return {
        size: bytes.length,
        read: async (begin, end) => bytes.slice(begin, end),
        close: async () => undefined,
      };
    },
  };
}

/** A plan of these tensors, on a configuration that core accepts. */
export function planOf(tensors: readonly PlannedTensor[], more: Partial<Plan> = {}): Plan {
  return {
    layout: 'made by hand',
    variant: 'none',
    config: {
      architectures: ['LlavaSpForConditionalGeneration'],
      model_type: 'llava_sp',
      image_token_index: 3,
      vision_config: {
        model_type: 'clip_vision_model',
        hidden_size: 64,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        image_size: 32,
        patch_size: 8,
      },
      text_config: {
        model_type: 'llama',
        hidden_size: 64,
        intermediate_size: 64,
        num_hidden_layers: 1,
        num_attention_heads: 4,
        vocab_size: 4,
        max_position_embeddings: 64,
      },
    },
    preprocessor: {},
    generation: {},
    tokenizer: {
      files: memoryFiles({ 'tokenizer.json': JSON.stringify(tokenizer) }),
      form: 'json',
      image: { token: '<image>', id: 3, absent: true },
      prompt: 'vicuna_v1',
    },
    tensors,
    leftover: [],
    license: null,
    sources: [{ location: 'memory', name: 'weights', size: 1 }],
    close: async () => undefined,
    ...more,
  };
}
