/**
 * Files as `torch.save` writes them: a zip of stored entries, `data.pkl` (pickle protocol 2) and one entry a storage, each
 * aligned to 64 bytes. Streams: nothing but the chunk at hand is in memory.
 */
import { open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

export type TorchDType = 'F64' | 'F32' | 'F16' | 'BF16' | 'I64';

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export interface TorchTensor {
  readonly name: string;
  readonly dtype: TorchDType;
  readonly shape: readonly number[];
  /** The storage's little-endian bytes, dense and row-major unless `stride` says otherwise. */
  chunks?(): Chunks;
  /** Instead of `chunks`: the storage of an earlier tensor, as tied weights share it. */
  readonly tiedTo?: string;
  /** In elements; 0 by default. */
  readonly offset?: number;
  /** In elements; dense by default. */
  readonly stride?: readonly number[];
  /** Elements of the storage; the shape's by default. */
  readonly storageLength?: number;
}

export interface ZipEntry {
  readonly name: string;
  /** In bytes, as stored. */
  readonly size: number;
  chunks(): Chunks;
  /** Compression method; 0, stored. The chunks are then compressed already. */
  readonly method?: number;
  /** Uncompressed bytes as the directory claims them; `size` by default. */
  readonly claimed?: number;
}

const storages: Record<TorchDType, { name: string; bytes: number }> = {
  F64: { name: 'DoubleStorage', bytes: 8 },
  F32: { name: 'FloatStorage', bytes: 4 },
  F16: { name: 'HalfStorage', bytes: 2 },
  BF16: { name: 'BFloat16Storage', bytes: 2 },
  I64: { name: 'LongStorage', bytes: 8 },
};

/** Writes a state dict. Tensors are written in order, 4 GiB and more a file included (zip64). */
export async function writeTorch(path: string, tensors: readonly TorchTensor[]): Promise<void> {
  const file = await open(path, 'w');
  try {
    for await (const bytes of zip(torchEntries(tensors))) await file.write(bytes);
  } finally {
    await file.close();
  }
}

/** The same file in memory. */
export async function torchBytes(tensors: readonly TorchTensor[]): Promise<Uint8Array> {
  return zipBytes(torchEntries(tensors));
}

export async function zipBytes(entries: readonly ZipEntry[]): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const bytes of zip(entries)) all.push(bytes.slice());
  return new Uint8Array(Buffer.concat(all));
}

/** An entry that is in memory. */
export function memoryEntry(name: string, bytes: Uint8Array): ZipEntry {
  return { name, size: bytes.length, chunks: () => [bytes] };
}

/** `data.pkl`, the storages, and the small entries that torch adds. */
export function torchEntries(tensors: readonly TorchTensor[]): ZipEntry[] {
  const text = new TextEncoder();
  const keys = new Map<string, { key: string; length: number; dtype: TorchDType }>();
  const data: ZipEntry[] = [];
  for (const tensor of tensors) {
    if (!tensor.chunks) continue;
    const length = tensor.storageLength ?? product(tensor.shape);
    const key = String(data.length);
    keys.set(tensor.name, { key, length, dtype: tensor.dtype });
    const chunks = tensor.chunks.bind(tensor);
    data.push({ name: `archive/data/${key}`, size: length * storages[tensor.dtype].bytes, chunks });
  }
  const pickle = new Pickler();
  pickle.global('collections', 'OrderedDict').raw(0x29, 0x52, 0x28);
  for (const tensor of tensors) {
    const storage = keys.get(tensor.tiedTo ?? tensor.name);
    if (!storage) throw new Error(`${tensor.name} has neither chunks nor a storage to share`);
    pickle.text(tensor.name).tensor(tensor, storage);
  }
  const bytes = pickle.raw(0x75, 0x2e).bytes();
  return [
    memoryEntry('archive/data.pkl', bytes),
    memoryEntry('archive/byteorder', text.encode('little')),
    ...data,
    memoryEntry('archive/version', text.encode('3\n')),
  ];
}

/** Writes pickles opcode by opcode, so that hostile ones can be written too. */
export class Pickler {
  readonly #bytes: number[] = [0x80, 2];

  raw(...bytes: number[]): this {
    this.#bytes.push(...bytes);
    return this;
  }

  global(module: string, name: string): this {
    return this.raw(0x63, ...new TextEncoder().encode(`${module}\n${name}\n`));
  }

  /** BINUNICODE. */
  text(value: string): this {
    const utf8 = new TextEncoder().encode(value);
    return this.raw(0x58, ...word(utf8.length), ...utf8);
  }

  /** BININT, or LONG1 past 31 bits. */
  integer(value: number): this {
    if (value === (value | 0)) return this.raw(0x4a, ...word(value));
    return this.raw(0x8a, 8, ...word(value % 2 ** 32), ...word(Math.floor(value / 2 ** 32)));
  }

  tuple(values: readonly number[]): this {
    this.raw(0x28);
    for (const value of values) this.integer(value);
    return this.raw(0x74);
  }

  /** `_rebuild_tensor_v2` of a storage. */
  tensor(
    view: Pick<TorchTensor, 'shape' | 'offset' | 'stride'>,
    storage: { key: string; length: number; dtype: TorchDType },
  ): this {
    this.global('torch._utils', '_rebuild_tensor_v2').raw(0x28, 0x28);
    this.text('storage').global('torch', storages[storage.dtype].name).text(storage.key).text('cpu');
    this.integer(storage.length).raw(0x74, 0x51);
    this.integer(view.offset ?? 0)
      .tuple(view.shape)
      .tuple(view.stride ?? denseStrides(view.shape));
    return this.raw(0x89).global('collections', 'OrderedDict').raw(0x29, 0x52, 0x74, 0x52);
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

/** In elements, row-major. */
export function denseStrides(shape: readonly number[]): number[] {
  return shape.map((_, i) => product(shape.slice(i + 1)));
}

/** The bytes of a zip file of these entries, in order. */
export async function* zip(entries: readonly ZipEntry[]): AsyncGenerator<Uint8Array> {
  const directory: Buffer[] = [];
  let at = 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name);
    const begin = at;
    const header = localHeader(entry, name, begin);
    yield header;
    let crc = 0;
    let size = 0;
    for await (const chunk of entry.chunks()) {
      crc = crc32(chunk, crc);
      size += chunk.length;
      yield chunk;
    }
    if (size !== entry.size) throw new Error(`${entry.name} gave ${size} of ${entry.size} bytes`);
    const descriptor = dataDescriptor(crc, size, entry.claimed ?? size);
    yield descriptor;
    at += header.length + size + descriptor.length;
    directory.push(centralHeader(entry, name, crc, begin));
  }
  const central = Buffer.concat(directory);
  yield central;
  yield endOfDirectory(entries.length, at, central.length);
}

const wideFrom = 0xffffffff;
/** Names in UTF-8; sizes and CRC follow the data. */
const flags = 0x0808;
const alignment = 64;

function localHeader({ method = 0 }: ZipEntry, name: Buffer, begin: number): Buffer {
  const pad = (alignment - ((begin + 34 + name.length) % alignment)) % alignment;
  const header = Buffer.alloc(34 + name.length + pad, 'Z');
  header.fill(0, 0, 30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(20, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt16LE(method, 8);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(4 + pad, 28);
  name.copy(header, 30);
  header.write('FB', 30 + name.length, 'latin1');
  header.writeUInt16LE(pad, 32 + name.length);
  return header;
}

function dataDescriptor(crc: number, stored: number, claimed: number): Buffer {
  const wide = Math.max(stored, claimed) >= wideFrom;
  const descriptor = Buffer.alloc(wide ? 24 : 16);
  descriptor.writeUInt32LE(0x08074b50, 0);
  descriptor.writeUInt32LE(crc, 4);
  if (wide) {
    descriptor.writeBigUInt64LE(BigInt(stored), 8);
    descriptor.writeBigUInt64LE(BigInt(claimed), 16);
  } else {
    descriptor.writeUInt32LE(stored, 8);
    descriptor.writeUInt32LE(claimed, 12);
  }
  return descriptor;
}

function centralHeader(entry: ZipEntry, name: Buffer, crc: number, begin: number): Buffer {
  const { size, claimed = size, method = 0 } = entry;
  const wide = [claimed, size, begin].filter((value) => value >= wideFrom);
  const extra = Buffer.alloc(wide.length === 0 ? 0 : 4 + 8 * wide.length);
  if (wide.length > 0) {
    extra.writeUInt16LE(1, 0);
    extra.writeUInt16LE(8 * wide.length, 2);
    wide.forEach((value, i) => extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i));
  }
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(45, 4);
  header.writeUInt16LE(45, 6);
  header.writeUInt16LE(flags, 8);
  header.writeUInt16LE(method, 10);
  header.writeUInt32LE(crc, 16);
  header.writeUInt32LE(Math.min(size, wideFrom), 20);
  header.writeUInt32LE(Math.min(claimed, wideFrom), 24);
  header.writeUInt16LE(name.length, 28);
  header.writeUInt16LE(extra.length, 30);
  header.writeUInt32LE(Math.min(begin, wideFrom), 42);
  return Buffer.concat([header, name, extra]);
}

/** With the zip64 record always, as torch writes it. */
function endOfDirectory(count: number, at: number, size: number): Buffer {
  const end = Buffer.alloc(56 + 20 + 22);
  end.writeUInt32LE(0x06064b50, 0);
  end.writeBigUInt64LE(44n, 4);
  end.writeUInt16LE(45, 12);
  end.writeUInt16LE(45, 14);
  end.writeBigUInt64LE(BigInt(count), 24);
  end.writeBigUInt64LE(BigInt(count), 32);
  end.writeBigUInt64LE(BigInt(size), 40);
  end.writeBigUInt64LE(BigInt(at), 48);
  end.writeUInt32LE(0x07064b50, 56);
  end.writeBigUInt64LE(BigInt(at + size), 64);
  end.writeUInt32LE(1, 72);
  end.writeUInt32LE(0x06054b50, 76);
  end.writeUInt16LE(Math.min(count, 0xffff), 84);
  end.writeUInt16LE(Math.min(count, 0xffff), 86);
  end.writeUInt32LE(Math.min(size, wideFrom), 88);
  end.writeUInt32LE(Math.min(at, wideFrom), 92);
  return end;
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((a, b) => a * b, 1);
}

function word(value: number): number[] {
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, (value >>> 24) & 255];
}
