import { LoadError, throwIfAborted } from '../errors/index.ts';
import type { ByteSource, ModelFiles } from '../host.ts';
import { readHeader } from './safetensors.ts';
import type { DType, TensorEntry } from './safetensors.ts';

/** One tensor of a model, wherever its shard is. */
export interface StoredTensor {
  /** As the file spells it. */
  readonly name: string;
  /** Of its elements. */
  readonly dtype: DType;
  /** Row-major; `[]` is a scalar. */
  readonly shape: readonly number[];
  /** The leading dimension; 1 for a scalar. */
  readonly rows: number;
  /** Bytes of one row: everything but the leading dimension. */
  readonly rowBytes: number;
  /** In bytes. */
  readonly size: number;
  /** The shard that holds it. */
  readonly file: string;
}

/** The weights of one model folder: headers in memory, data on demand. */
export interface WeightStore {
  /** Of all tensors. */
  names(): IterableIterator<string>;
  /** Whether there is such a tensor. */
  has(name: string): boolean;
  /** @throws {LoadError} `WEIGHTS_MISSING` when there is no such tensor. */
  entry(name: string): StoredTensor;
  /**
   * The little-endian bytes of rows `[rowBegin, rowEnd)` of the leading dimension (all rows by default), so that a large
   * tensor can be streamed. The result may be a view at an odd byte offset: copy it before viewing it as numbers.
   *
   * @throws {RangeError} when the rows are not inside the tensor (a mistake of the caller's code, not of the file).
   * @throws {LoadError} `FILE_UNREADABLE` when the file changed or can't be read.
   */
  read(name: string, rowBegin?: number, rowEnd?: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Releases every shard. */
  close(): Promise<void>;
}

const singleFile = 'model.safetensors';
const indexFile = 'model.safetensors.index.json';
const maxIndexBytes = 100_000_000;

/**
 * Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists, and checks all their headers.
 *
 * @throws {LoadError} `MODEL_FILE_MISSING` naming the absent file, `WEIGHTS_INDEX_INVALID`, `WEIGHTS_HEADER_INVALID`,
 *   `WEIGHTS_DTYPE`, `FILE_UNREADABLE`.
 */
export async function openWeights(files: ModelFiles, signal?: AbortSignal): Promise<WeightStore> {
  throwIfAborted(signal);
  const opened = new Map<string, ByteSource>();
  try {
    const tensors = (await files.has(singleFile))
      ? await openSingle(files, opened, signal)
      : await openShards(files, opened, signal);
    return createStore(tensors, opened);
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
}

async function openSingle(files: ModelFiles, opened: Map<string, ByteSource>, signal?: AbortSignal) {
  const tensors = new Map<string, Located>();
  const entries = await openShard(files, singleFile, opened, signal);
  for (const [name, entry] of entries) tensors.set(name, locate(name, entry, singleFile));
  return tensors;
}

async function openShards(files: ModelFiles, opened: Map<string, ByteSource>, signal?: AbortSignal) {
  if (!(await files.has(indexFile))) {
    throw new LoadError({
      code: 'MODEL_FILE_MISSING',
      message: `${files.location} has neither ${singleFile} nor ${indexFile}.`,
      fix: 'Point to the folder of a converted model, or download it again.',
    });
  }
  const weightMap = parseIndex(await readAll(files, indexFile, signal));
  const shards = new Map<string, ReadonlyMap<string, TensorEntry>>();
  for (const file of new Set(weightMap.values())) {
    shards.set(file, await openShard(files, file, opened, signal));
  }
  const tensors = new Map<string, Located>();
  for (const [name, file] of weightMap) {
    const entry = shards.get(file)?.get(name);
    if (!entry) throw indexError(`it places "${name}" in ${file}, which does not hold it`);
    tensors.set(name, locate(name, entry, file));
  }
  return tensors;
}

async function openShard(
  files: ModelFiles,
  file: string,
  opened: Map<string, ByteSource>,
  signal?: AbortSignal,
) {
  throwIfAborted(signal);
  if (!(await files.has(file))) {
    throw new LoadError({
      code: 'MODEL_FILE_MISSING',
      message: `${files.location} lacks ${file}, which ${indexFile} lists.`,
      fix: 'Download the missing shard, or convert the model again.',
    });
  }
  const source = await files.open(file);
  opened.set(file, source);
  return (await readHeader(source, file, signal)).tensors;
}

/**
 * The `weight_map` of an index: tensor name to shard file, which ends as the index's own name says
 * (`model.safetensors.index.json`: `.safetensors`).
 *
 * @throws {LoadError} `WEIGHTS_INDEX_INVALID`.
 */
export function parseIndex(bytes: Uint8Array, index: string = indexFile): Map<string, string> {
  const indexError = (what: string, cause?: unknown) => indexInvalid(index, what, cause);
  const extension = index.replace(/\.index\.json$/, '').replace(/^[^.]*/, '');
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw indexError('it is not JSON', cause);
  }
  const weightMap =
    typeof json === 'object' && json !== null && 'weight_map' in json ? json.weight_map : undefined;
  if (typeof weightMap !== 'object' || weightMap === null || Array.isArray(weightMap)) {
    throw indexError('it has no "weight_map" object');
  }
  const result = new Map<string, string>();
  for (const [name, file] of Object.entries(weightMap)) {
    if (typeof file !== 'string' || !isPlainFileName(file, extension)) {
      throw indexError(
        `it places "${name}" in ${JSON.stringify(file)?.slice(0, 100)}, not a file of the folder`,
      );
    }
    result.set(name, file);
  }
  if (result.size === 0) throw indexError('its "weight_map" is empty');
  return result;
}

/** A shard is a file of the folder itself: an index must not reach other paths or addresses. */
function isPlainFileName(file: string, extension: string): boolean {
  return /^[\w-][\w.-]*$/.test(file) && file.endsWith(extension);
}

function indexError(what: string, cause?: unknown): LoadError {
  return indexInvalid(indexFile, what, cause);
}

function indexInvalid(index: string, what: string, cause?: unknown): LoadError {
  return new LoadError({
    code: 'WEIGHTS_INDEX_INVALID',
    message: `${index} can't be used: ${what}.`,
    fix: 'Download or convert the model again; the index does not fit the shards.',
    cause,
  });
}

async function readAll(files: ModelFiles, file: string, signal?: AbortSignal): Promise<Uint8Array> {
  const source = await files.open(file);
  try {
    if (source.size > maxIndexBytes)
      throw indexError(`it has ${source.size} bytes, the limit is ${maxIndexBytes}`);
    return await source.read(0, source.size, signal);
  } finally {
    await source.close();
  }
}

interface Located extends StoredTensor {
  /** Byte offset in the file. */
  readonly begin: number;
}

function locate(name: string, entry: TensorEntry, file: string): Located {
  const { dtype, shape, begin } = entry;
  const size = entry.end - begin;
  const rows = shape.length === 0 ? 1 : shape[0];
  return { name, dtype, shape, rows, rowBytes: rows === 0 ? 0 : size / rows, size, file, begin };
}

function createStore(tensors: ReadonlyMap<string, Located>, opened: Map<string, ByteSource>): WeightStore {
  const find = (name: string): Located => {
    const tensor = tensors.get(name);
    if (tensor) return tensor;
    throw new LoadError({
      code: 'WEIGHTS_MISSING',
      message: `The model has no tensor "${name}".`,
      fix: 'Check that config.json belongs to these weights, or convert the model again.',
    });
  };
  return {
    names: () => tensors.keys(),
    has: (name) => tensors.has(name),
    entry: find,
    async read(name, rowBegin = 0, rowEnd, signal) {
      throwIfAborted(signal);
      const { rows, rowBytes, begin, file } = find(name);
      const last = rowEnd ?? rows;
      if (!(
        Number.isInteger(rowBegin) &&
        Number.isInteger(last) &&
        rowBegin >= 0 &&
        rowBegin <= last &&
        last <= rows
      )) {
        throw new RangeError(`rows ${rowBegin}..${last} are not inside "${name}" of ${rows} rows`);
      }
      const length = (last - rowBegin) * rowBytes;
      const source = opened.get(file);
      if (length === 0 || !source) {
        if (source) return new Uint8Array(0);
        throw new RangeError(`${file} is closed`);
      }
      const from = begin + rowBegin * rowBytes;
      const bytes = await source.read(from, from + length, signal);
      if (bytes.length === length) return bytes;
      throw new LoadError({
        code: 'FILE_UNREADABLE',
        message: `${file} gave ${bytes.length} of the ${length} bytes of "${name}".`,
        fix: 'Check that the file is not being written, and load the model again.',
      });
    },
    close: () => closeAll(opened),
  };
}

async function closeAll(opened: Map<string, ByteSource>): Promise<void> {
  const sources = [...opened.values()];
  opened.clear();
  await Promise.all(sources.map((source) => source.close()));
}
