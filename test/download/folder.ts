/** Folders that look like a model's, as far as a download looks at them. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { folderStore } from '../../packages/core/src/download/folder_store.ts';
import type { ModelFiles, ModelStore } from '../../packages/core/src/host.ts';
import { nodeDisk } from '../../packages/node/src/store.ts';
import { Random } from '../support/random.ts';

export type Folder = Readonly<Record<string, Uint8Array>>;

export interface FolderOptions {
  /** Bytes of each shard's data. */
  readonly shards?: readonly number[];
  /** Whether the index has hashes. */
  readonly hashes?: boolean;
  /** Whether the tokenizer has its chat template. */
  readonly template?: boolean;
}

const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A safetensors file of one tensor of random bytes. */
function shardOf(name: string, bytes: number, random: Random): Uint8Array {
  const header = JSON.stringify({ [name]: { dtype: 'U8', shape: [bytes], data_offsets: [0, bytes] } });
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const file = new Uint8Array(8 + padded.length + bytes);
  new DataView(file.buffer).setUint32(0, padded.length, true);
  file.set(new TextEncoder().encode(padded), 8);
  for (let i = 8 + padded.length; i < file.length; i++) file[i] = random.below(256);
  return file;
}

export function makeFolder(seed: number, options: FolderOptions = {}): Folder {
  const { shards = [50_000, 30_000, 1000], hashes = true, template = true } = options;
  const random = new Random(seed);
  const files: Record<string, Uint8Array> = {
    'config.json': text({ model_type: 'llava', seed }),
    'preprocessor_config.json': text({}),
    'tokenizer.json': text({ vocab: Array.from({ length: 500 }, (_, i) => `word ${i} ${random.bits()}`) }),
    'tokenizer_config.json': text(template ? { chat_template: '{{ messages }}' } : {}),
  };
  const names = shards.map(
    (_, i) =>
      `model-${String(i + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`,
  );
  names.forEach((name, i) => (files[name] = shardOf(`tensor ${i}`, shards[i], random)));
  files['model.safetensors.index.json'] = text({
    metadata: {
      total_size: shards.reduce((sum, bytes) => sum + bytes, 0),
      ...(hashes && {
        sha256: Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, sha256(bytes)])),
      }),
    },
    weight_map: Object.fromEntries(names.map((name, i) => [`tensor ${i}`, name])),
  });
  return files;
}

/** @param time of the files: the server's ETags are made of it, and two versions may be written within one tick. */
export async function writeFolder(path: string, files: Folder, time?: Date): Promise<void> {
  await mkdir(path, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) {
    await writeFile(join(path, name), bytes);
    if (time) await utimes(join(path, name), time, time);
  }
}

/** Whether a folder as it was opened holds just these files, to the byte. */
export async function holds(opened: ModelFiles, files: Folder): Promise<boolean> {
  for (const [name, bytes] of Object.entries(files)) {
    const source = await opened.open(name);
    try {
      if (source.size !== bytes.length) return false;
      if (!Buffer.from(bytes).equals(await source.read(0, source.size))) return false;
    } finally {
      await source.close();
    }
  }
  return !(await opened.has('absent.json'));
}

/** A store in a folder of its own, as a process finds it when it starts. */
export function storeIn(path: string): ModelStore {
  return folderStore(nodeDisk(() => path));
}

/** A temporary folder, and what removes it. */
export async function temporary(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'llava-sp-download-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Every file of a store by `folder/name`. */
export async function dump(path: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) files.set(entry.name, await readFile(join(entry.parentPath, entry.name)));
  }
  return files;
}
