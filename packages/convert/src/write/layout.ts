import { ArgumentError } from '@llava-sp/core';
import { parts, type Part, type PlannedTensor } from '../contract.ts';
import { valueBytes, type Storage } from '../quantise/chunk.ts';

/** How a matrix is stored: codes of 4 or 8 bits with a scale and a bias a group, half floats, or floats. */
export type PartFormat = 'q4' | 'q8' | 'f16' | 'f32';

const formats: readonly PartFormat[] = ['q4', 'q8', 'f16', 'f32'];

/** How the matrices of each part are stored. */
export interface Quantisation extends Readonly<Record<Part, PartFormat>> {
  /** The vision tower. */
  readonly vision: PartFormat;
  /** The projectors of patches and spatial tokens. */
  readonly projector: PartFormat;
  /** The Spatial Feature Extractor. */
  readonly sfe: PartFormat;
  /** The Detail Feature Integrator. */
  readonly detail: PartFormat;
  /** The language model's layers. */
  readonly llm: PartFormat;
  /** `embed_tokens` and `lm_head`. */
  readonly embeddings: PartFormat;
  /** Elements of a row that share a scale and a bias; rows that it does not divide take 32, or stay f16. */
  readonly group: 32 | 64 | 128;
  /** Ranges tried for each group, 0 to 6; 0 is plain min/max. More is slower and a little nearer to the weights. */
  readonly tries: number;
}

/** What `convert` takes where the caller does not say. */
export const defaultQuantisation: Quantisation = {
  llm: 'q4',
  sfe: 'q4',
  detail: 'q4',
  vision: 'q8',
  projector: 'q8',
  embeddings: 'q8',
  group: 64,
  tries: 2,
};

/**
 * The defaults with what `options` says.
 *
 * @throws {ArgumentError} `OPTION_INVALID` naming the part, what was found and what was wanted.
 */
export function checkQuantisation(options: Partial<Quantisation> = {}): Quantisation {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const all = { ...defaultQuantisation, ...(Object.fromEntries(given) as Partial<Quantisation>) };
  for (const key of Object.keys(all)) if (!Object.hasOwn(defaultQuantisation, key)) throw unknownPart(key);
  for (const part of parts) {
    if (!formats.includes(all[part])) throw invalid(part, all[part], `one of ${formats.join(', ')}`);
  }
  if (![32, 64, 128].includes(all.group)) throw invalid('group', all.group, '32, 64 or 128');
  if (!(Number.isInteger(all.tries) && all.tries >= 0 && all.tries <= 6)) {
    throw invalid('tries', all.tries, 'a whole number from 0 to 6');
  }
  return all;
}

function invalid(name: string, found: unknown, wanted: string): ArgumentError {
  return new ArgumentError({
    code: 'OPTION_INVALID',
    message: `${name} must be ${wanted}, not ${JSON.stringify(found)}.`,
    fix: 'Correct the option, or leave it out for the default.',
  });
}

function unknownPart(name: string): ArgumentError {
  return new ArgumentError({
    code: 'OPTION_INVALID',
    message: `A model has no part "${name}".`,
    fix: `The parts are ${parts.join(', ')}; group and tries count for all of them.`,
  });
}

/** One tensor of the on-device files. */
export interface Output {
  readonly name: string;
  readonly dtype: 'U32' | 'F16' | 'F32';
  readonly shape: readonly number[];
  /** In bytes. */
  readonly size: number;
}

/** What a planned tensor becomes: its values, and for affine storage its scales and biases, in this order in the file. */
export interface Placed {
  readonly planned: PlannedTensor;
  readonly storage: Storage;
  /** Values of a row. */
  readonly cols: number;
  readonly outputs: readonly Output[];
  /** A matrix whose part is to be quantised, but whose rows no group divides. */
  readonly odd: boolean;
}

/**
 * Patches come to it channel by channel, while a quantised convolution has its channels last; it is small, and MLX leaves
 * it alone too.
 */
const patchEmbedding = /\.patch_embedding\.weight$/;

/** How a tensor is stored. */
export function place(planned: PlannedTensor, quantisation: Quantisation): Placed {
  const { name, kind, shape, part } = planned;
  const rows = shape[0] ?? 1;
  const cols = shape.slice(1).reduce((product, size) => product * size, 1);
  const plain = (storage: Storage, dtype: 'F16' | 'F32', odd = false): Placed => {
    const size = valueBytes(storage, rows * cols);
    return { planned, storage, cols, outputs: [{ name, dtype, shape, size }], odd };
  };
  // Norms, biases and positions are small, and float32 holds any of them exactly.
  if (kind === 'vector') return plain({ format: 'f32' }, 'F32');
  const wanted = quantisation[part];
  if (wanted === 'f32') return plain({ format: 'f32' }, 'F32');
  const format = patchEmbedding.test(name) ? 'f16' : wanted;
  if (format === 'f16') return plain({ format: 'f16' }, 'F16');
  const group = [quantisation.group, 32].find((size) => cols % size === 0);
  if (group === undefined) return plain({ format: 'f16' }, 'F16', true);

  const bits = format === 'q4' ? 4 : 8;
  const storage: Storage = { format: 'affine', bits, group, tries: quantisation.tries };
  const layer = layerOf(name);
  const scalesShape = [rows, cols / group];
  const scalesSize = (2 * rows * cols) / group;
  const outputs: Output[] = [
    { name, dtype: 'U32', shape: [rows, (cols * bits) / 32], size: valueBytes(storage, rows * cols) },
    { name: `${layer}.scales`, dtype: 'F16', shape: scalesShape, size: scalesSize },
    { name: `${layer}.biases`, dtype: 'F16', shape: scalesShape, size: scalesSize },
  ];
  return { planned, storage, cols, outputs, odd: false };
}

/** A weight's name without `.weight`, as config.json and the scales name it. */
export function layerOf(name: string): string {
  return name.replace(/\.weight$/, '');
}

/** `quantization` of config.json: the language model's scheme, and every layer that differs from it; `null` without any. */
export function describeQuantisation(placed: readonly Placed[]): Record<string, unknown> | null {
  const affine = placed.filter(({ storage }) => storage.format === 'affine');
  const main = affine.find(({ planned }) => planned.part === 'llm') ?? affine[0];
  if (main?.storage.format !== 'affine') return null;
  const { group, bits } = main.storage;
  const result: Record<string, unknown> = { group_size: group, bits };
  for (const { planned, storage } of placed) {
    if (planned.kind === 'vector') continue;
    const layer = layerOf(planned.name);
    if (storage.format !== 'affine') result[layer] = false;
    else if (storage.group !== group || storage.bits !== bits) {
      result[layer] = { group_size: storage.group, bits: storage.bits };
    }
  }
  return result;
}

/** One safetensors file: its name, its whole header, and what follows it, in order. */
export interface Shard {
  readonly file: string;
  /** The length field and the JSON, padded to 8 bytes. */
  readonly header: Uint8Array;
  readonly tensors: readonly Placed[];
  /** Of the whole file, in bytes. */
  readonly size: number;
}

/** The header's share of a shard: a bound on its bytes a tensor, for names as long as those of these models. */
const HEADER_BYTES = 256;

/**
 * Cuts the tensors into files of at most `limit` bytes, in their order; a tensor that is larger by itself, as an embedding
 * table in f16, has a file of its own.
 */
export function cutShards(placed: readonly Placed[], limit: number): Shard[] {
  const lists: Placed[][] = [];
  let filled = Infinity;
  for (const item of placed) {
    const size = item.outputs.reduce((sum, output) => sum + output.size + HEADER_BYTES, 0);
    if (filled + size > limit) {
      lists.push([]);
      filled = HEADER_BYTES;
    }
    lists[lists.length - 1].push(item);
    filled += size;
  }
  const number = (i: number): string => String(i).padStart(5, '0');
  return lists.map((tensors, i) => {
    const outputs = tensors.flatMap((item) => item.outputs);
    const header = encodeHeader(outputs);
    const size = outputs.reduce((sum, output) => sum + output.size, header.length);
    return {
      file: `model-${number(i + 1)}-of-${number(lists.length)}.safetensors`,
      header,
      tensors,
      size,
    };
  });
}

function encodeHeader(outputs: readonly Output[]): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  for (const { name, dtype, shape, size } of outputs) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + size] };
    offset += size;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  return bytes;
}
