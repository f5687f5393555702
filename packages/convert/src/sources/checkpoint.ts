import { LoadError, type ByteSource, type ModelFiles } from '@llava-sp/core';
import { parseIndex, readHeader, throwIfAborted } from '@llava-sp/core/formats';
import type { SourceFile } from '../contract.ts';
import { publishedTensor, type PublishedTensor } from './tensors.ts';
import { openTorch } from './torch.ts';

/** The tensors of some files of a folder: headers in memory, data on demand. */
export interface Checkpoint {
  readonly files: ModelFiles;
  readonly tensors: ReadonlyMap<string, PublishedTensor>;
  readonly sources: readonly SourceFile[];
  close(): Promise<void>;
}

/** Whole models: of those that a folder has, the first is read. An index comes before the file it splits. */
const modelFiles = [
  'model.safetensors.index.json',
  'model.safetensors',
  'pytorch_model.bin.index.json',
  'pytorch_model.bin',
] as const;
const adapterFiles = ['adapter_model.safetensors', 'adapter_model.bin'] as const;
/** What LLaVA trains beside its adapters. */
const trainedFiles = ['non_lora_trainables.safetensors', 'non_lora_trainables.bin'] as const;

const maxIndexBytes = 100_000_000;

/** Whether the folder holds an adapter rather than a whole model. */
export async function isAdapter(files: ModelFiles): Promise<boolean> {
  return files.has('adapter_config.json');
}

/**
 * Opens the weights of a whole model: one file or the shards of its index, safetensors or torch.
 *
 * @throws {LoadError} `MODEL_FILE_MISSING`, `WEIGHTS_INDEX_INVALID`, `WEIGHTS_HEADER_INVALID`, `WEIGHTS_DTYPE`,
 *   `CHECKPOINT_UNSAFE`, `CHECKPOINT_INVALID`, `FILE_UNREADABLE`.
 */
export async function openCheckpoint(files: ModelFiles, signal?: AbortSignal): Promise<Checkpoint> {
  const file = await firstOf(files, modelFiles);
  if (!file) throw missing(files, modelFiles);
  return openFiles(files, [file], signal);
}

/**
 * Opens an adapter and what was trained beside it, as one set of tensors.
 *
 * @throws {LoadError} see {@link openCheckpoint}.
 */
export async function openAdapter(files: ModelFiles, signal?: AbortSignal): Promise<Checkpoint> {
  const adapter = await firstOf(files, adapterFiles);
  if (!adapter) throw missing(files, adapterFiles);
  const trained = await firstOf(files, trainedFiles);
  return openFiles(files, trained ? [adapter, trained] : [adapter], signal);
}

/**
 * Opens exactly these files: safetensors, torch files, or indices of shards.
 *
 * @throws {LoadError} see {@link openCheckpoint}.
 */
export async function openFiles(
  files: ModelFiles,
  names: readonly string[],
  signal?: AbortSignal,
): Promise<Checkpoint> {
  const opened: ByteSource[] = [];
  const close = async () => {
    await Promise.all(opened.splice(0).map((source) => source.close()));
  };
  const sources: SourceFile[] = [];
  const tensors = new Map<string, PublishedTensor>();
  const openOne = async (name: string) => {
    throwIfAborted(signal);
    const source = await files.open(name);
    opened.push(source);
    sources.push({ location: files.location, name, size: source.size });
    return openTensors(source, name, signal);
  };
  try {
    for (const name of names) {
      const found = name.endsWith('.index.json')
        ? await openShards(files, name, openOne, signal)
        : await openOne(name);
      for (const [key, tensor] of found) tensors.set(key, tensor);
    }
    return { files, tensors, sources, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The one name of `names` that the folder has first. */
async function firstOf(files: ModelFiles, names: readonly string[]): Promise<string | null> {
  for (const name of names) if (await files.has(name)) return name;
  return null;
}

function missing(files: ModelFiles, names: readonly string[]): LoadError {
  return new LoadError({
    code: 'MODEL_FILE_MISSING',
    message: `${files.location} has no weights: none of ${names.join(', ')}.`,
    fix: 'Pass the folder that holds the published weights.',
  });
}

type Tensors = ReadonlyMap<string, PublishedTensor>;

async function openShards(
  files: ModelFiles,
  index: string,
  openOne: (name: string) => Promise<Tensors>,
  signal?: AbortSignal,
): Promise<Map<string, PublishedTensor>> {
  const weightMap = parseIndex(await readWhole(files, index, maxIndexBytes, signal), index);
  const shards = new Map<string, Tensors>();
  for (const file of new Set(weightMap.values())) shards.set(file, await openOne(file));
  const tensors = new Map<string, PublishedTensor>();
  for (const [name, file] of weightMap) {
    const tensor = shards.get(file)?.get(name);
    if (!tensor) {
      throw new LoadError({
        code: 'WEIGHTS_INDEX_INVALID',
        message: `${index} can't be used: it places "${name.slice(0, 200)}" in ${file}, which does not hold it.`,
        fix: 'Download the model again; the index does not fit the shards.',
      });
    }
    tensors.set(name, tensor);
  }
  return tensors;
}

async function openTensors(source: ByteSource, file: string, signal?: AbortSignal): Promise<Tensors> {
  if (!file.endsWith('.safetensors')) return openTorch(source, file, signal);
  const { tensors } = await readHeader(source, file, signal);
  const published = new Map<string, PublishedTensor>();
  for (const [name, { dtype, shape, begin, end }] of tensors) {
    const rowBytes = (end - begin) / (shape[0] ?? 1);
    const read: PublishedTensor['read'] = (rowBegin, rowEnd, readSignal) =>
      rowBytes > 0
        ? source.read(begin + rowBegin * rowBytes, begin + rowEnd * rowBytes, readSignal)
        : Promise.resolve(new Uint8Array(0));
    published.set(name, publishedTensor({ name, dtype, shape, file, read }));
  }
  return published;
}

/**
 * A whole small file.
 *
 * @throws {LoadError} `CONFIG_INVALID` past `limit` bytes; `MODEL_FILE_MISSING`, `FILE_UNREADABLE`.
 */
async function readWhole(
  files: ModelFiles,
  name: string,
  limit: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const source = await files.open(name);
  try {
    if (source.size > limit) throw notUsable(name, `it has ${source.size} bytes, the limit is ${limit}`);
    return await source.read(0, source.size, signal);
  } finally {
    await source.close();
  }
}

const maxJsonBytes = 64 * 2 ** 20;

/**
 * A JSON object of the folder; `null` where there is no such file.
 *
 * @throws {LoadError} `CONFIG_INVALID`, `FILE_UNREADABLE`.
 */
export async function readJson(
  files: ModelFiles,
  name: string,
  signal?: AbortSignal,
): Promise<Record<string, unknown> | null> {
  if (!(await files.has(name))) return null;
  const bytes = await readWhole(files, name, maxJsonBytes, signal);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw notUsable(name, 'it is not JSON', cause);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw notUsable(name, 'it is not a JSON object');
  return json as Record<string, unknown>;
}

function notUsable(name: string, what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: 'CONFIG_INVALID',
    message: `${name} can't be used: ${what}.`,
    fix: 'Download the file again.',
    cause,
  });
}
