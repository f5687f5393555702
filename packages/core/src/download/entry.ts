import { LlavaSpError, type LoadError } from '../errors/index.ts';
import type { ByteSource, ModelFiles, ModelStore } from '../host.ts';

/** A file of the cache, whole and checked. */
export interface KeptFile {
  /** Its name in the store: two versions of a file never share one. */
  readonly stored: string;
  readonly size: number;
  readonly sha256: string;
  readonly etag: string | null;
  /** Of the hub, when it was fetched. */
  readonly commit: string | null;
}

/** A file that is not whole yet. */
export interface PartialFile {
  readonly etag: string | null;
  readonly size: number | null;
  readonly sha256: string | null;
  readonly commit: string | null;
}

/** What is known of one model's folder in the store. */
export interface CacheRecord {
  readonly version: 1;
  /** The source's name. */
  readonly name: string;
  readonly files: Readonly<Record<string, KeptFile>>;
  /** Of files that are under way, by name. */
  readonly partials: Readonly<Record<string, PartialFile>>;
}

/** Names the files of a model that may be loaded as it is. */
const COMPLETE = 'manifest.json';
/** The same of a download that has not ended. */
const PENDING = 'pending.json';
const MAX_RECORD_BYTES = 16 << 20;

/** The folder of the store for a model: readable, and never the same for two names. */
export function folderOf(name: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  const readable = name
    .replace(/^https?:\/\//, '')
    .replace(/[^A-Za-z0-9.-]+/g, '_')
    .replace(/^[._]+|[._]+$/g, '');
  return `${readable.slice(0, 80)}-${hash.toString(16).padStart(8, '0')}`;
}

export function partialOf(file: string): string {
  return `${file}.partial`;
}

/** A folder of the store as one model's place: what is in it, by records of its own, not by what lies there. */
export class Entry {
  readonly store: ModelStore;
  readonly folder: string;
  readonly name: string;

  constructor(store: ModelStore, name: string, folder = folderOf(name)) {
    this.store = store;
    this.folder = folder;
    this.name = name;
  }

  /** The model when it is whole: every file is there, with the size it was checked with. */
  async complete(): Promise<CacheRecord | null> {
    const record = await this.#read(COMPLETE);
    return record && (await this.#keeps(record)) ? record : null;
  }

  /** What an earlier download left: the files that are whole, and what is known of the others. */
  async pending(): Promise<CacheRecord> {
    const empty: CacheRecord = { version: 1, name: this.name, files: {}, partials: {} };
    const record = (await this.#read(PENDING)) ?? (await this.#read(COMPLETE)) ?? empty;
    const sizes = await this.store.list(this.folder);
    const files = Object.entries(record.files).filter(([, { stored, size }]) => sizes.get(stored) === size);
    return { ...record, files: Object.fromEntries(files) };
  }

  save(record: CacheRecord): Promise<void> {
    return this.store.replace(this.folder, PENDING, JSON.stringify(record));
  }

  /** From now on the record's files are the model; all else in the folder goes. */
  async commit(record: CacheRecord): Promise<void> {
    await this.store.replace(this.folder, COMPLETE, JSON.stringify(record));
    const kept = new Set([COMPLETE, ...Object.values(record.files).map(({ stored }) => stored)]);
    for (const name of (await this.store.list(this.folder)).keys()) {
      // What another process still reads may refuse to go, and goes the next time.
      if (!kept.has(name)) await this.store.delete(this.folder, name).catch(() => undefined);
    }
  }

  /** The record's files by their own names. */
  files({ files }: Pick<CacheRecord, 'files'>): ModelFiles {
    const { store, folder, name } = this;
    return {
      location: name,
      has: async (file) => Object.hasOwn(files, file),
      open: (file) => store.open(folder, Object.hasOwn(files, file) ? files[file].stored : file),
    };
  }

  async #keeps({ files }: CacheRecord): Promise<boolean> {
    const sizes = await this.store.list(this.folder);
    return Object.values(files).every(({ stored, size }) => sizes.get(stored) === size);
  }

  /** `null` where there is none, or a damaged one, or that of another model. */
  async #read(file: string): Promise<CacheRecord | null> {
    const text = await readText(this.store, this.folder, file);
    const record = text === null ? null : parseRecord(text);
    return record?.name === this.name ? record : null;
  }
}

/** The name of the model that a folder holds, and whether it is whole; `null` for a folder of something else. */
export async function describeFolder(
  store: ModelStore,
  folder: string,
): Promise<{ name: string; complete: boolean } | null> {
  for (const file of [COMPLETE, PENDING]) {
    const text = await readText(store, folder, file);
    const record = text === null ? null : parseRecord(text);
    if (!record || folderOf(record.name) !== folder) continue;
    const complete = file === COMPLETE && (await new Entry(store, record.name).complete()) !== null;
    return { name: record.name, complete };
  }
  return null;
}

async function readText(store: ModelStore, folder: string, file: string): Promise<string | null> {
  let source: ByteSource;
  try {
    source = await store.open(folder, file);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    if (source.size > MAX_RECORD_BYTES) return null;
    return new TextDecoder().decode(await source.read(0, source.size));
  } finally {
    await source.close();
  }
}

export function isMissing(error: unknown): error is LoadError {
  return error instanceof LlavaSpError && error.code === 'MODEL_FILE_MISSING';
}

/** A record is not trusted more than what a program may have written there: names must be plain. */
function parseRecord(text: string): CacheRecord | null {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(json) || json.version !== 1 || typeof json.name !== 'string') return null;
  const { name, files, partials } = json;
  if (!isRecord(files) || !isRecord(partials)) return null;
  const isKept = (value: unknown): boolean =>
    isRecord(value) &&
    typeof value.stored === 'string' &&
    isPlainName(value.stored) &&
    Number.isSafeInteger(value.size) &&
    typeof value.sha256 === 'string';
  if (!Object.values(files).every(isKept) || !Object.values(partials).every(isRecord)) return null;
  return {
    version: 1,
    name,
    files: files as Readonly<Record<string, KeptFile>>,
    partials: partials as unknown as Readonly<Record<string, PartialFile>>,
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A file of the folder itself, and none of the records. */
export function isPlainName(name: string): boolean {
  return /^[\w-][\w.-]{0,199}$/.test(name);
}
