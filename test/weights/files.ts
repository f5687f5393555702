import type { ByteSource, ModelFiles } from '../../packages/core/src/host.ts';
import { LoadError, type LlavaSpError } from '../../packages/core/src/errors/index.ts';
import { isSdkError } from '../support/sdk_error.ts';

/** One tensor to write: its bytes are zero unless given. */
export interface Draft {
  dtype: string;
  shape: number[];
  data?: Uint8Array;
}

const bytesOf: Record<string, number> = { F32: 4, F16: 2, BF16: 2, U32: 4, U8: 1, I64: 8 };

/** A valid safetensors file, tensors in the given order. */
export function safetensors(drafts: Record<string, Draft>, metadata?: Record<string, string>): Uint8Array {
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  let offset = 0;
  const parts: Uint8Array[] = [];
  for (const [name, { dtype, shape, data }] of Object.entries(drafts)) {
    const size = shape.reduce((product, item) => product * item, bytesOf[dtype]);
    header[name] = { dtype, shape, data_offsets: [offset, offset + size] };
    parts.push(data ?? new Uint8Array(size));
    offset += size;
  }
  return file(JSON.stringify(header), ...parts);
}

/** A file with this header text, right or wrong, and its true length in front. */
export function file(header: string, ...data: Uint8Array[]): Uint8Array {
  const text = new TextEncoder().encode(header);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  return concat(length, text, ...data);
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** What was read, to see that only the asked ranges are. */
export interface Reads {
  file: string;
  begin: number;
  end: number;
}

export function source(bytes: Uint8Array, name = 'file', reads: Reads[] = []): ByteSource {
  return {
    size: bytes.length,
    async read(begin, end) {
      if (begin < 0 || end > bytes.length || begin > end)
        throw new RangeError(`${name} has no ${begin}..${end}`);
      reads.push({ file: name, begin, end });
      return bytes.subarray(begin, end);
    },
    async close() {},
  };
}

/** A model folder in memory. */
export function folder(contents: Record<string, Uint8Array>, reads: Reads[] = []): ModelFiles {
  return {
    location: 'memory',
    async has(name) {
      return Object.hasOwn(contents, name);
    },
    async open(name) {
      if (Object.hasOwn(contents, name)) return source(contents[name], name, reads);
      throw new LoadError({ code: 'MODEL_FILE_MISSING', message: `no ${name}`, fix: 'add it' });
    },
  };
}

export function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** The error of a call that must fail with one of the SDK's own. */
export async function failure(call: () => unknown): Promise<LlavaSpError> {
  try {
    await call();
  } catch (error) {
    if (isSdkError(error)) return error;
    throw error;
  }
  throw new Error('the call did not fail');
}
