/** Ways to break a file of a model folder. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

interface Shard {
  readonly path: string;
  header: Record<string, Entry>;
  data: Buffer;
}

async function read(path: string): Promise<Shard> {
  const bytes = await readFile(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, Entry>;
  return { path, header, data: bytes.subarray(8 + length) };
}

async function write({ path, header, data }: Shard): Promise<void> {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  await writeFile(path, Buffer.concat([length, json, data]));
}

async function shardOf(folder: string, tensor: string): Promise<Shard> {
  for (const file of await readdir(folder)) {
    if (!/^model.*\.safetensors$/.test(file)) continue;
    const shard = await read(join(folder, file));
    if (shard.header[tensor]) return shard;
  }
  throw new Error(`no tensor ${tensor} in ${folder}`);
}

/** Changes what the header says of a tensor; a new name moves it. */
export async function editEntry(
  folder: string,
  tensor: string,
  change: Partial<Entry> & { name?: string },
): Promise<void> {
  const shard = await shardOf(folder, tensor);
  const { name = tensor, ...rest } = change;
  const entry = { ...shard.header[tensor], ...rest };
  delete shard.header[tensor];
  shard.header[name] = entry;
  await write(shard);
}

/** Puts `value` into element `index` of a float tensor, or into all of them. */
export async function putValue(
  folder: string,
  tensor: string,
  value: number,
  index: number | 'all',
): Promise<void> {
  const shard = await shardOf(folder, tensor);
  const { dtype, data_offsets: range } = shard.header[tensor];
  const data = Buffer.from(shard.data);
  const size = dtype === 'F32' ? 4 : 2;
  const [from, to] = index === 'all' ? [0, (range[1] - range[0]) / size] : [index, index + 1];
  for (let i = from; i < to; i++) {
    const at = range[0] + i * size;
    if (dtype === 'F32') data.writeFloatLE(value, at);
    else if (dtype === 'BF16') data.writeUInt16LE(bits(value) >>> 16, at);
    else if (dtype === 'F16' && Number.isNaN(value)) data.writeUInt16LE(0x7e00, at);
    else throw new Error(`${value} as ${dtype}`);
  }
  await write({ ...shard, data });
}

function bits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}

/** Changes the bytes of a file. */
export async function editBytes(
  folder: string,
  file: string,
  edit: (bytes: Buffer) => Uint8Array,
): Promise<void> {
  const path = join(folder, file);
  await writeFile(path, edit(await readFile(path)));
}
