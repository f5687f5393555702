import { LoadError } from '../errors/index.ts';
import type { ByteSource } from '../host.ts';

/** Element types a safetensors file may hold, and their size in bytes. */
export const dtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** An element type of a safetensors file. */
export type DType = keyof typeof dtypeBytes;

/** Where one tensor lies. `[begin, end)` are byte offsets in the file itself, header included. */
export interface TensorEntry {
  /** Of its elements. */
  readonly dtype: DType;
  /** Row-major; `[]` is a scalar. */
  readonly shape: readonly number[];
  /** The first byte. */
  readonly begin: number;
  /** Behind the last byte. */
  readonly end: number;
}

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The format's own limit on the JSON header; a longer one is a lie or an attack. */
export const maxHeaderBytes = 100_000_000;

/** Bytes fetched first: the headers of most files fit, so that one round trip is enough. */
const firstReadBytes = 64 * 1024;

const lengthFieldBytes = 8;
const metadataKey = '__metadata__';

/**
 * Parses and checks the header of a safetensors file.
 *
 * `bytes` holds at least the length field and the whole header (it may go on); `fileSize` is the size of the
 * whole file in bytes. As the format demands, the tensors must cover the data exactly: no overlap, no hole, nothing
 * past the end and nothing left over, so a cut file is noticed before a tensor is read.
 *
 * @throws {LoadError} `WEIGHTS_HEADER_INVALID` naming what is wrong; `WEIGHTS_DTYPE` for an unknown element type.
 */
export function parseHeader(bytes: Uint8Array, fileSize: number, file = 'safetensors file'): SafetensorsFile {
  const fail = failure(file);
  const headerBytes = headerLength(bytes, fileSize, file);
  const dataBegin = lengthFieldBytes + headerBytes;
  if (bytes.length < dataBegin) throw fail(`the header has ${bytes.length} of ${dataBegin} bytes`);

  const header = parseJson(bytes.subarray(lengthFieldBytes, dataBegin), fail);
  const tensors = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === metadataKey) metadata = parseMetadata(value, fail);
    else tensors.set(name, parseEntry(name, value, dataBegin, fileSize, fail));
  }
  checkCoverage(tensors, dataBegin, fileSize, fail);
  return { tensors, metadata };
}

/**
 * Reads the header alone, by range: one read for most files, two when the header is past 64 kB.
 *
 * @throws {LoadError} see `parseHeader`.
 */
export async function readHeader(
  source: ByteSource,
  file?: string,
  signal?: AbortSignal,
): Promise<SafetensorsFile> {
  const first = await source.read(0, Math.min(source.size, firstReadBytes), signal);
  const end = lengthFieldBytes + headerLength(first, source.size, file);
  const bytes = end <= first.length ? first : await source.read(0, end, signal);
  return parseHeader(bytes, source.size, file);
}

type Failure = (what: string, cause?: unknown) => LoadError;

function failure(file: string): Failure {
  return (what, cause) =>
    new LoadError({
      code: 'WEIGHTS_HEADER_INVALID',
      message: `${file} is not a valid safetensors file: ${what}.`,
      fix: 'Download or convert the model again; the file is damaged or cut short.',
      cause,
    });
}

/** The length field, checked against the file and the limit: `[8 bytes little-endian]`. */
function headerLength(bytes: Uint8Array, fileSize: number, file = 'safetensors file'): number {
  const fail = failure(file);
  if (!Number.isSafeInteger(fileSize) || fileSize < lengthFieldBytes || bytes.length < lengthFieldBytes) {
    throw fail(`it has ${fileSize} bytes, too few for a header`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length > maxHeaderBytes)
    throw fail(`its header claims ${length} bytes, the limit is ${maxHeaderBytes}`);
  if (length > fileSize - lengthFieldBytes) {
    throw fail(
      `its header claims ${length} bytes, the file has ${fileSize - lengthFieldBytes} after the length`,
    );
  }
  return length;
}

function parseJson(bytes: Uint8Array, fail: Failure): Record<string, unknown> {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (cause) {
    throw fail('its header is not JSON', cause);
  }
  if (!isRecord(header)) throw fail('its header is not a JSON object');
  // JSON.parse keeps the last of two equal keys in silence, which would hide a tensor.
  if (countTopLevelKeys(text) !== Object.keys(header).length) throw fail('its header names a tensor twice');
  return header;
}

/** Keys of the outermost object of valid JSON, repeated ones counted each time. */
function countTopLevelKeys(json: string): number {
  let keys = 0;
  let depth = 0;
  for (let i = 0; i < json.length; i++) {
    const char = json[i];
    if (char === '"') {
      for (i++; json[i] !== '"'; i++) if (json[i] === '\\') i++;
    } else if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') depth--;
    else if (char === ':' && depth === 1) keys++;
  }
  return keys;
}

function parseMetadata(value: unknown, fail: Failure): Record<string, string> {
  if (!isRecord(value)) throw fail(`"${metadataKey}" is not an object`);
  const metadata: Record<string, string> = {};
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw fail(`"${metadataKey}" holds a value that is not a string`);
    metadata[key] = text;
  }
  return metadata;
}

function parseEntry(
  name: string,
  value: unknown,
  dataBegin: number,
  fileSize: number,
  fail: Failure,
): TensorEntry {
  const label = `tensor "${name.slice(0, 200)}"`;
  if (!isRecord(value)) throw fail(`${label} is not an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDType(dtype)) {
    throw new LoadError({
      code: 'WEIGHTS_DTYPE',
      message: `${label} has the element type ${JSON.stringify(dtype)?.slice(0, 40)}, which is not known.`,
      fix: `Convert the model to one of ${Object.keys(dtypeBytes).join(', ')}.`,
    });
  }
  if (!isSizes(shape)) throw fail(`${label} has a shape that is not a list of integers >= 0`);
  if (!isSizes(offsets) || offsets.length !== 2) throw fail(`${label} has no pair of data offsets`);

  const begin = dataBegin + offsets[0];
  const end = dataBegin + offsets[1];
  if (offsets[0] > offsets[1] || end > fileSize) {
    throw fail(`${label} lies at bytes ${begin}..${end}, the file has ${fileSize}`);
  }
  const bytes = shape.reduce((product, size) => product * size, dtypeBytes[dtype]);
  if (bytes !== end - begin) {
    throw fail(`${label} of ${dtype} [${shape.join(', ')}] needs ${bytes} bytes and has ${end - begin}`);
  }
  return { dtype, shape: [...shape], begin, end };
}

function checkCoverage(
  tensors: ReadonlyMap<string, TensorEntry>,
  dataBegin: number,
  fileSize: number,
  fail: Failure,
): void {
  const order = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let end = dataBegin;
  for (const [name, entry] of order) {
    if (entry.begin < end) throw fail(`tensor "${name.slice(0, 200)}" overlaps another`);
    if (entry.begin > end) throw fail(`bytes ${end}..${entry.begin} belong to no tensor`);
    end = entry.end;
  }
  if (end !== fileSize) throw fail(`its tensors end at byte ${end}, the file has ${fileSize}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.hasOwn(dtypeBytes, value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}
