/** Published checkpoints of full size with made-up weights: the files, names and types of the real ones. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeTorch } from '../support/torch_writer.ts';
import { constant, matrix, Numbers, writeSafetensors, type MadeUp } from './full_size_random.ts';

export const modelNames = ['llava-sp-7b', 'internvl2-1b-sp'] as const;
export type ModelName = (typeof modelNames)[number];

/** What `convert` is given. */
export interface Published {
  readonly checkpoint: string;
  readonly base?: string;
  readonly visionTower?: string;
}

interface Text {
  width: number;
  mlp: number;
  layers: number;
  heads: number;
  kvHeads: number;
  vocab: number;
}

interface Vision {
  width: number;
  mlp: number;
  layers: number;
  heads: number;
  side: number;
  patch: number;
}

const published = new URL('../golden/published/', import.meta.url);
const golden = (path: string): string => fileURLToPath(new URL(path, published));

/** Writes the model into `folder`. `small`: narrow and shallow, to see that everything works. */
export async function publish(name: ModelName, folder: string, small: boolean): Promise<Published> {
  await mkdir(folder, { recursive: true });
  return name === 'llava-sp-7b' ? publishLora(folder, small) : publishInternVl(folder, small);
}

/** LLaVA-SP-Cropping-7B: LoRA on Vicuna-7B v1.5, CLIP-ViT-L/14-336 apart. */
async function publishLora(folder: string, small: boolean): Promise<Published> {
  const text: Text = small
    ? { width: 256, mlp: 704, layers: 2, heads: 4, kvHeads: 4, vocab: 2000 }
    : { width: 4096, mlp: 11_008, layers: 32, heads: 32, kvHeads: 32, vocab: 32_000 };
  const vision: Vision = small
    ? { width: 128, mlp: 256, layers: 3, heads: 2, side: 336, patch: 14 }
    : { width: 1024, mlp: 4096, layers: 24, heads: 16, side: 336, patch: 14 };
  const features = small ? 64 : 512;
  const rank = small ? 8 : 128;
  const [base, visionTower, checkpoint] = ['base', 'vision-tower', 'adapter'].map((part) =>
    join(folder, part),
  );
  for (const part of [base, visionTower, checkpoint]) await mkdir(part, { recursive: true });
  const numbers = new Numbers('F16');

  const own = textFields(text, { model_type: 'llama', rope_theta: 1e4, rms_norm_eps: 1e-5, context: 4096 });
  await copyGolden('lora-cropping/base', base, ['generation_config.json', 'tokenizer_config.json']);
  await writeFile(join(base, 'tokenizer.model'), await paddedPieces(text.vocab));
  await writeJson(join(base, 'config.json'), { ...own, architectures: ['LlamaForCausalLM'] });
  await writeBase(base, decoder('', text, false), numbers);

  await writeVisionTower(visionTower, vision, numbers);

  const adapterConfig = await goldenJson('lora-cropping/adapter/adapter_config.json');
  await writeJson(join(checkpoint, 'adapter_config.json'), {
    ...adapterConfig,
    r: rank,
    lora_alpha: 2 * rank,
  });
  const config = await goldenJson('lora-cropping/adapter/config.json');
  await writeJson(join(checkpoint, 'config.json'), {
    ...config,
    ...own,
    model_type: 'llava_llama',
    mm_hidden_size: vision.width,
  });
  const adapted = decoder('base_model.model.', text, false).filter(({ name }) => name.includes('_proj.'));
  const updates = adapted.flatMap(({ name, shape: [n, k] }) => [
    matrix(name.replace('.weight', '.lora_A.weight'), rank, k),
    // Small beside the weight that it is added to.
    { name: name.replace('.weight', '.lora_B.weight'), shape: [n, rank], fill: { fine: 8 } },
  ]);
  await writeTorch(
    join(checkpoint, 'adapter_model.bin'),
    updates.map((t) => numbers.tensor(t)),
  );
  const others = [
    ...projector('base_model.model.model.mm_projector.', vision.width, text.width),
    ...spatial('base_model.model.model.', [4, 8, 12, 16, 20, 24], vision.width, features, text.width),
  ];
  await writeTorch(
    join(checkpoint, 'non_lora_trainables.bin'),
    others.map((t) => numbers.tensor(t)),
  );
  return { checkpoint, base, visionTower };
}

/** InternVL2-1B with the spatial tensors of LLaVA-SP, in one file. */
async function publishInternVl(folder: string, small: boolean): Promise<Published> {
  const text: Text = small
    ? { width: 128, mlp: 320, layers: 2, heads: 2, kvHeads: 1, vocab: 2048 }
    : { width: 896, mlp: 4864, layers: 24, heads: 14, kvHeads: 2, vocab: 151_655 };
  const vision: Vision = small
    ? { width: 64, mlp: 128, layers: 2, heads: 2, side: 448, patch: 14 }
    : { width: 1024, mlp: 4096, layers: 24, heads: 16, side: 448, patch: 14 };
  const features = small ? 64 : 512;
  const numbers = new Numbers('BF16');

  await copyGolden('internvl2/model', folder, ['merges.txt']);
  const first = await writePaddedBpe(folder, text.vocab);
  const config = await goldenJson('internvl2/model/config.json');
  await writeJson(join(folder, 'config.json'), {
    ...config,
    force_image_size: vision.side,
    max_dynamic_patch: 12,
    llm_config: {
      ...(config.llm_config as object),
      ...textFields(text, { model_type: 'qwen2', rope_theta: 1e6, rms_norm_eps: 1e-6, context: 32_768 }),
      bos_token_id: first,
      eos_token_id: first + 2,
    },
    vision_config: {
      ...(config.vision_config as object),
      ...visionFields(vision),
      qkv_bias: true,
      qk_normalization: false,
    },
  });
  await writeJson(join(folder, 'generation_config.json'), { eos_token_id: [first + 2, first] });
  const preprocessor = await goldenJson('internvl2/model/preprocessor_config.json');
  await writeJson(join(folder, 'preprocessor_config.json'), {
    ...preprocessor,
    size: vision.side,
    crop_size: vision.side,
  });
  const grid = vision.side / vision.patch;
  const shuffled = 4 * vision.width;
  const tensors = [
    ...internVit(vision),
    constant('mlp1.0.weight', 1, shuffled),
    constant('mlp1.0.bias', 0, shuffled),
    matrix('mlp1.1.weight', text.width, shuffled),
    constant('mlp1.1.bias', 0, text.width),
    matrix('mlp1.3.weight', text.width, text.width),
    constant('mlp1.3.bias', 0, text.width),
    ...spatial(
      '',
      Array.from({ length: 6 }, (_, i) => Math.floor((grid * (i + 1)) / 6)),
      vision.width,
      features,
      text.width,
    ),
    ...decoder('language_model.', text, true),
  ];
  await writeSafetensors(
    join(folder, 'model.safetensors'),
    tensors.map((t) => numbers.tensor(t)),
  );
  return { checkpoint: folder };
}

function textFields(
  text: Text,
  { context, ...rest }: { model_type: string; rope_theta: number; rms_norm_eps: number; context: number },
): Record<string, unknown> {
  return {
    ...rest,
    vocab_size: text.vocab,
    max_position_embeddings: context,
    hidden_act: 'silu',
    bos_token_id: 1,
    eos_token_id: 2,
    hidden_size: text.width,
    intermediate_size: text.mlp,
    num_hidden_layers: text.layers,
    num_attention_heads: text.heads,
    num_key_value_heads: text.kvHeads,
    tie_word_embeddings: false,
    torch_dtype: 'float16',
  };
}

function visionFields(vision: Vision): Record<string, unknown> {
  return {
    hidden_size: vision.width,
    intermediate_size: vision.mlp,
    num_hidden_layers: vision.layers,
    num_attention_heads: vision.heads,
    image_size: vision.side,
    patch_size: vision.patch,
  };
}

/** LLaMA's names; Qwen2 has biases on q, k and v. */
function decoder(root: string, text: Text, biases: boolean): MadeUp[] {
  const { width, mlp, heads, kvHeads, vocab } = text;
  const kv = (width / heads) * kvHeads;
  const layers = Array.from({ length: text.layers }, (_, i) => {
    const layer = `${root}model.layers.${i}.`;
    const bias = (name: string, n: number) =>
      biases ? [constant(`${layer}self_attn.${name}.bias`, 0, n)] : [];
    return [
      constant(`${layer}input_layernorm.weight`, 1, width),
      matrix(`${layer}self_attn.q_proj.weight`, width, width),
      ...bias('q_proj', width),
      matrix(`${layer}self_attn.k_proj.weight`, kv, width),
      ...bias('k_proj', kv),
      matrix(`${layer}self_attn.v_proj.weight`, kv, width),
      ...bias('v_proj', kv),
      matrix(`${layer}self_attn.o_proj.weight`, width, width),
      constant(`${layer}post_attention_layernorm.weight`, 1, width),
      matrix(`${layer}mlp.gate_proj.weight`, mlp, width),
      matrix(`${layer}mlp.up_proj.weight`, mlp, width),
      matrix(`${layer}mlp.down_proj.weight`, width, mlp),
    ];
  });
  return [
    matrix(`${root}model.embed_tokens.weight`, vocab, width),
    ...layers.flat(),
    constant(`${root}model.norm.weight`, 1, width),
    matrix(`${root}lm_head.weight`, vocab, width),
  ];
}

function projector(root: string, from: number, width: number): MadeUp[] {
  return [
    matrix(`${root}0.weight`, width, from),
    constant(`${root}0.bias`, 0, width),
    matrix(`${root}2.weight`, width, width),
    constant(`${root}2.bias`, 0, width),
  ];
}

/** Cropping, with the DFI of kernel 16. */
function spatial(
  root: string,
  kernels: readonly number[],
  from: number,
  features: number,
  width: number,
): MadeUp[] {
  const asked = ['query', 'key', 'value'].flatMap((name) => [
    constant(`${root}${name}_projector.0.weight`, 1, features),
    constant(`${root}${name}_projector.0.bias`, 0, features),
    matrix(`${root}${name}_projector.1.weight`, features, features),
    constant(`${root}${name}_projector.1.bias`, 0, features),
  ]);
  return [
    ...kernels.map((kernel) => matrix(`${root}conv_${kernel}.weight`, features, from, kernel, kernel)),
    matrix(`${root}conv_CM.weight`, features, from, 16, 16),
    ...asked,
    matrix(`${root}conv_linear.1.weight`, width, 2 * features),
    constant(`${root}conv_linear.1.bias`, 0, width),
  ];
}

/** In two files with an index, as Vicuna's. */
async function writeBase(folder: string, tensors: readonly MadeUp[], numbers: Numbers): Promise<void> {
  const cut = Math.floor(tensors.length * 0.7);
  const files = [tensors.slice(0, cut), tensors.slice(cut)];
  const map: Record<string, string> = {};
  let total = 0;
  for (const [i, part] of files.entries()) {
    const file = `pytorch_model-0000${i + 1}-of-00002.bin`;
    for (const { name, shape } of part) {
      map[name] = file;
      total += shape.reduce((product, size) => product * size, 2);
    }
    await writeTorch(
      join(folder, file),
      part.map((t) => numbers.tensor(t)),
    );
  }
  await writeJson(join(folder, 'pytorch_model.bin.index.json'), {
    metadata: { total_size: total },
    weight_map: map,
  });
}

async function writeVisionTower(folder: string, vision: Vision, numbers: Numbers): Promise<void> {
  const config = await goldenJson('lora-cropping/vision-tower/config.json');
  await writeJson(join(folder, 'config.json'), {
    ...config,
    vision_config: { ...(config.vision_config as object), ...visionFields(vision) },
  });
  const preprocessor = await goldenJson('lora-cropping/vision-tower/preprocessor_config.json');
  await writeJson(join(folder, 'preprocessor_config.json'), {
    ...preprocessor,
    size: { shortest_edge: vision.side },
    crop_size: { height: vision.side, width: vision.side },
  });
  const { width, mlp, patch } = vision;
  const root = 'vision_model.';
  const norm = (name: string) => [constant(`${name}.weight`, 1, width), constant(`${name}.bias`, 0, width)];
  const linear = (name: string, n: number, k: number) => [
    matrix(`${name}.weight`, n, k),
    constant(`${name}.bias`, 0, n),
  ];
  const layers = Array.from({ length: vision.layers }, (_, i) => {
    const layer = `${root}encoder.layers.${i}.`;
    return [
      ...norm(`${layer}layer_norm1`),
      ...['q_proj', 'k_proj', 'v_proj', 'out_proj'].flatMap((name) =>
        linear(`${layer}self_attn.${name}`, width, width),
      ),
      ...norm(`${layer}layer_norm2`),
      ...linear(`${layer}mlp.fc1`, mlp, width),
      ...linear(`${layer}mlp.fc2`, width, mlp),
    ];
  });
  const tensors = [
    { name: `${root}embeddings.class_embedding`, shape: [width], fill: { fine: 1 } },
    matrix(`${root}embeddings.patch_embedding.weight`, width, 3, patch, patch),
    {
      name: `${root}embeddings.position_embedding.weight`,
      shape: [(vision.side / patch) ** 2 + 1, width],
      fill: { fine: 3 },
    },
    ...norm(`${root}pre_layrnorm`),
    ...layers.flat(),
    ...norm(`${root}post_layernorm`),
  ];
  await writeSafetensors(
    join(folder, 'model.safetensors'),
    tensors.map((t) => numbers.tensor(t)),
  );
}

function internVit(vision: Vision): MadeUp[] {
  const { width, mlp, patch } = vision;
  const root = 'vision_model.';
  const positions = (vision.side / patch) ** 2 + 1;
  const layers = Array.from({ length: vision.layers }, (_, i) => {
    const layer = `${root}encoder.layers.${i}.`;
    const linear = (name: string, n: number, k: number) => [
      matrix(`${layer}${name}.weight`, n, k),
      constant(`${layer}${name}.bias`, 0, n),
    ];
    const norm = (name: string) => [
      constant(`${layer}${name}.weight`, 1, width),
      constant(`${layer}${name}.bias`, 0, width),
    ];
    return [
      constant(`${layer}ls1`, 0.1, width),
      constant(`${layer}ls2`, 0.1, width),
      ...linear('attn.qkv', 3 * width, width),
      ...linear('attn.proj', width, width),
      ...linear('mlp.fc1', mlp, width),
      ...linear('mlp.fc2', width, mlp),
      ...norm('norm1'),
      ...norm('norm2'),
    ];
  });
  return [
    { name: `${root}embeddings.class_embedding`, shape: [1, 1, width], fill: { fine: 1 } },
    matrix(`${root}embeddings.patch_embedding.weight`, width, 3, patch, patch),
    constant(`${root}embeddings.patch_embedding.bias`, 0, width),
    { name: `${root}embeddings.position_embedding`, shape: [1, positions, width], fill: { fine: 3 } },
    ...layers.flat(),
  ];
}

/** The golden SentencePiece model with pieces that no text is split into, up to `vocab`. */
async function paddedPieces(vocab: number): Promise<Uint8Array> {
  const model = await readFile(golden('lora-cropping/base/tokenizer.model'));
  const parts: Uint8Array[] = [model];
  for (let id = countPieces(model); id < vocab; id++) {
    const text = new TextEncoder().encode(`§${id}`);
    // SentencePiece { piece = 1: text, score = 2: float }, as field 1 of the model.
    const score = new Uint8Array(new Float32Array([-id]).buffer);
    const piece = Uint8Array.of(0x0a, text.length, ...text, 0x15, ...score);
    parts.push(Uint8Array.of(0x0a, piece.length, ...piece));
  }
  return Buffer.concat(parts);
}

/** Top-level fields 1 of a protocol buffer. */
function countPieces(bytes: Uint8Array): number {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  let pieces = 0;
  while (at < bytes.length) {
    const key = varint();
    if (key % 8 !== 2) throw new Error(`field ${key >> 3} of the tokenizer is no message`);
    if (key >> 3 === 1) pieces++;
    const length = varint();
    at += length;
  }
  return pieces;
}

/** The golden byte-level vocabulary with words that no text is split into; its added tokens end it. @returns the first of them. */
async function writePaddedBpe(folder: string, vocab: number): Promise<number> {
  const words = await goldenJson('internvl2/model/vocab.json');
  const added = await goldenJson('internvl2/model/added_tokens.json');
  const config = await goldenJson('internvl2/model/tokenizer_config.json');
  const count = Object.keys(words).length;
  const first = vocab - Object.keys(added).length;
  for (let id = count; id < first; id++) words[`§${id}`] = id;
  const moved = (id: unknown): number => Number(id) - count + first;
  await writeJson(join(folder, 'vocab.json'), words);
  const tokens = Object.entries(added).map(([token, id]): [string, number] => [token, moved(id)]);
  await writeJson(join(folder, 'added_tokens.json'), Object.fromEntries(tokens));
  const decoder: Record<string, unknown> = {};
  for (const [id, token] of Object.entries(config.added_tokens_decoder as Record<string, unknown>))
    decoder[moved(id)] = token;
  await writeJson(join(folder, 'tokenizer_config.json'), {
    ...config,
    added_tokens_decoder: decoder,
  });
  return first;
}

async function copyGolden(from: string, to: string, files: readonly string[]): Promise<void> {
  for (const file of files) await cp(golden(`${from}/${file}`), join(to, file));
}

async function goldenJson(path: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(golden(path), 'utf8')) as Record<string, unknown>;
}

async function writeJson(path: string, value: object): Promise<void> {
  await writeFile(path, JSON.stringify(value));
}
