/** Made-up weights of any size: a block of normal numbers in f16 or bf16, repeated, scaled by powers of two. */
import { open } from 'node:fs/promises';
import { Random } from '../support/random.ts';
import type { TorchTensor } from '../support/torch_writer.ts';
import { toBf16, toF16 } from '../support/weights.ts';

/** What fills a tensor: one number, or normal numbers of the standard deviation `2^-fine`. */
export type Fill = { readonly value: number } | { readonly fine: number };

export interface MadeUp {
  readonly name: string;
  readonly shape: readonly number[];
  readonly fill: Fill;
}

/** A matrix or convolution whose outputs are as large as its inputs: the deviation is about one over the root of its rows. */
export function matrix(name: string, ...shape: number[]): MadeUp {
  const [, ...rest] = shape;
  const k = rest.reduce((product, size) => product * size, 1);
  return { name, shape, fill: { fine: Math.round(Math.log2(k) / 2) } };
}

export function constant(name: string, value: number, ...shape: number[]): MadeUp {
  return { name, shape, fill: { value } };
}

/** A prime, so that no two rows of a matrix are the same although the block comes again and again. */
const BLOCK = 15_999_989;
const SEED = 11;

export class Numbers {
  readonly dtype: 'F16' | 'BF16';
  readonly #normals: Float32Array;
  readonly #blocks = new Map<number, Uint8Array>();
  /** Where in the block the next tensor starts. */
  #at = 0;

  constructor(dtype: 'F16' | 'BF16') {
    this.dtype = dtype;
    this.#normals = new Random(SEED).normals(BLOCK, 1);
  }

  /** The tensor as the writers take it; bytes are made when they are asked for. */
  tensor({ name, shape, fill }: MadeUp): TorchTensor {
    const bytes = shape.reduce((product, size) => product * size, 2);
    const from = this.#at;
    this.#at = (from + bytes) % (2 * BLOCK);
    return { name, dtype: this.dtype, shape, chunks: () => this.#bytes(fill, from, bytes) };
  }

  *#bytes(fill: Fill, from: number, bytes: number): Generator<Uint8Array> {
    if ('value' in fill) {
      yield this.#encode(new Float32Array(bytes / 2).fill(fill.value));
      return;
    }
    const block = this.#block(fill.fine);
    for (let at = from, left = bytes; left > 0; at = 0) {
      const take = Math.min(left, block.length - at);
      yield block.subarray(at, at + take);
      left -= take;
    }
  }

  #block(fine: number): Uint8Array {
    let block = this.#blocks.get(fine);
    if (!block) {
      block = this.#encode(this.#normals.map((value) => value * 2 ** -fine));
      this.#blocks.set(fine, block);
    }
    return block;
  }

  #encode(values: Float32Array): Uint8Array {
    const encode = this.dtype === 'F16' ? toF16 : toBf16;
    const bits = new Uint16Array(values.length);
    for (let i = 0; i < values.length; i++) bits[i] = encode(values[i]);
    return new Uint8Array(bits.buffer);
  }
}

/** A safetensors file, streamed. */
export async function writeSafetensors(path: string, tensors: readonly TorchTensor[]): Promise<void> {
  const header: Record<string, object> = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const { name, dtype, shape } of tensors) {
    const begin = end;
    end += shape.reduce((product, size) => product * size, 2);
    header[name] = { dtype, shape, data_offsets: [begin, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const file = await open(path, 'w');
  try {
    await file.write(new Uint8Array(new BigUint64Array([BigInt(text.length)]).buffer));
    await file.write(text);
    for (const tensor of tensors) for await (const bytes of tensor.chunks?.() ?? []) await file.write(bytes);
  } finally {
    await file.close();
  }
}
