import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ArgumentError, LoadError } from '@llava-sp/core';

/** What is left of the exact values in a tensor: sums of squares. */
export interface TensorError {
  readonly error: number;
  readonly norm: number;
}

/** A finished shard. */
export interface ShardRecord {
  readonly sha256: string;
  readonly size: number;
  /** By tensor name. */
  readonly errors: Readonly<Record<string, TensorError>>;
}

/** The state of an unfinished conversion, beside its shards: what a next run need not do again. */
export interface State {
  /** Of everything that the bytes depend on. */
  readonly key: string;
  readonly shards: Record<string, ShardRecord>;
}

const stateFile = 'conversion.json';
const partial = '.partial';
const shardName = /^model-\d+-of-\d+\.safetensors$/;

/**
 * Makes the folder ready for shards. One that holds an unfinished conversion of the same key gives its finished shards,
 * those that are still what they were; an unfinished one of another key is removed.
 *
 * @throws {ArgumentError} `OUTPUT_NOT_EMPTY` when the folder holds anything else.
 */
export async function openState(folder: string, key: string): Promise<State> {
  await mkdir(folder, { recursive: true });
  const names = await readdir(folder);
  const state: State = { key, shards: {} };
  if (names.length === 0) {
    await saveState(folder, state);
    return state;
  }
  const old = await readState(folder);
  if (!old) {
    throw new ArgumentError({
      code: 'OUTPUT_NOT_EMPTY',
      message: `${folder} is not empty, and holds no unfinished conversion.`,
      fix: 'Choose a new folder, or empty this one.',
    });
  }
  for (const [file, record] of Object.entries(old.shards)) {
    if (old.key === key && (await isIntact(join(folder, file), record))) state.shards[file] = record;
  }
  // What the state does not list was never whole, or is not of this conversion.
  for (const name of names) {
    const unknown = shardName.test(name) && !state.shards[name];
    if (unknown || name.endsWith(partial)) await rm(join(folder, name), { force: true });
  }
  await saveState(folder, state);
  return state;
}

export function saveState(folder: string, state: State): Promise<void> {
  return writeWhole(folder, stateFile, JSON.stringify(state));
}

/**
 * Says before the first byte that the disk is too small, where the system tells.
 *
 * @throws {LoadError} `OUTPUT_FAILED`.
 */
export async function checkSpace(folder: string, needed: number): Promise<void> {
  const found = await statfs(folder).catch(() => null);
  if (!found) return;
  const free = found.bavail * found.bsize;
  if (needed <= free) return;
  const gb = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new LoadError({
    code: 'OUTPUT_FAILED',
    message: `The model takes ${gb(needed)}; the disk of ${folder} has ${gb(free)} left.`,
    fix: 'Free space, choose a folder on another disk, or store parts in fewer bits.',
  });
}

/** The conversion is complete. */
export function removeState(folder: string): Promise<void> {
  return rm(join(folder, stateFile), { force: true });
}

/** Writes a file that is either whole or not there. */
export async function writeWhole(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name);
  await writeFile(path + partial, text);
  await rename(path + partial, path);
}

/** The name a file has until it is whole. */
export function partialPath(folder: string, name: string): string {
  return join(folder, name + partial);
}

async function readState(folder: string): Promise<State | null> {
  try {
    const json = JSON.parse(await readFile(join(folder, stateFile), 'utf8')) as Partial<State> | null;
    if (typeof json?.key !== 'string' || typeof json.shards !== 'object') return null;
    const shards = Object.entries(json.shards).filter(([file]) => shardName.test(file));
    return { key: json.key, shards: Object.fromEntries(shards) };
  } catch {
    return null;
  }
}

/** A shard may have been cut or changed since; reading it again costs little beside making it again. */
async function isIntact(path: string, record: ShardRecord): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  if (found?.size !== record.size) return false;
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex') === record.sha256;
}
