import { fromRandomAccessReaderPromise, RandomAccessReader, type Entry, type ZipFile } from 'yauzl';
import { AbortedError, LlavaSpError, type ByteSource } from '@llava-sp/core';
import { throwIfAborted } from '@llava-sp/core/formats';
import { checkpointInvalid } from './errors.ts';

/** One stored entry of a zip file. */
export interface ZipMember {
  /** In bytes. */
  readonly size: number;
  /** Where its bytes begin in the file, as its local header says. */
  begin(): Promise<number>;
}

/** The directory is read through this many bytes of the file's end at once: one request for most files. */
const tailBytes = 256 * 1024;
/** torch writes an entry a storage; the largest published models have a few thousand. */
const maxMembers = 100_000;
const localHeaderBytes = 30;
const stored = 0;

/**
 * The members of a zip file as torch writes it: stored, apart from each other, and inside the file. A compressed or
 * encrypted member is refused, so that no file is larger inside than outside.
 *
 * @throws {LoadError} `CHECKPOINT_INVALID`, `FILE_UNREADABLE`.
 */
export async function openZip(
  source: ByteSource,
  file: string,
  signal?: AbortSignal,
): Promise<Map<string, ZipMember>> {
  const tail = await source.read(Math.max(0, source.size - tailBytes), source.size, signal);
  const reader = new SourceReader(source, tail, signal);
  return sound(Promise.race([readDirectory(reader, source.size, file, signal), reader.failed]), file, signal);
}

/** What yauzl finds wrong, as an error of ours. */
async function sound<T>(work: Promise<T>, file: string, signal?: AbortSignal): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof LlavaSpError) throw cause;
    if (signal?.aborted) throw new AbortedError(signal.reason);
    throw checkpointInvalid(file, `it is not a sound zip file (${(cause as Error).message})`, cause);
  }
}

async function readDirectory(
  reader: SourceReader,
  size: number,
  file: string,
  signal?: AbortSignal,
): Promise<Map<string, ZipMember>> {
  const zip = await fromRandomAccessReaderPromise(reader, size, { autoClose: false });
  if (zip.entryCount > maxMembers)
    throw checkpointInvalid(file, `it claims ${zip.entryCount} members, the limit is ${maxMembers}`);
  const entries: Entry[] = [];
  for await (const entry of zip.eachEntry()) {
    throwIfAborted(signal);
    entries.push(entry);
  }
  return apart(zip, entries, file);
}

/** By name; each member ends before the next one's local header begins. */
function apart(zip: ZipFile, entries: Entry[], file: string): Map<string, ZipMember> {
  const order = [...entries].sort((a, b) => a.relativeOffsetOfLocalHeader - b.relativeOffsetOfLocalHeader);
  const members = new Map<string, ZipMember>();
  order.forEach((entry, i) => {
    const { fileName, compressedSize: size, compressionMethod, relativeOffsetOfLocalHeader: header } = entry;
    const label = JSON.stringify(fileName.slice(0, 100));
    if (compressionMethod !== stored)
      throw checkpointInvalid(
        file,
        `its member ${label} is compressed (method ${compressionMethod}); torch stores`,
      );
    if (entry.generalPurposeBitFlag & 1) throw checkpointInvalid(file, `its member ${label} is encrypted`);
    if (members.has(fileName)) throw checkpointInvalid(file, `it has two members ${label}`);
    const limit = order[i + 1]?.relativeOffsetOfLocalHeader ?? zip.fileSize;
    const overlap = () => checkpointInvalid(file, `its member ${label} overlaps another, or the file's end`);
    if (header + localHeaderBytes + entry.fileNameLength + size > limit) throw overlap();
    members.set(fileName, {
      size,
      async begin() {
        const { fileDataStart } = await sound(zip.readLocalFileHeaderPromise(entry, { minimal: true }), file);
        if (fileDataStart + size > limit) throw overlap();
        return fileDataStart;
      },
    });
  });
  return members;
}

/** yauzl's view of a ByteSource. What yauzl throws inside its own callbacks ends in `failed`. */
class SourceReader extends RandomAccessReader {
  readonly failed: Promise<never>;
  readonly #source: ByteSource;
  readonly #tail: Uint8Array;
  readonly #signal: AbortSignal | undefined;
  #fail: (cause: unknown) => void = () => undefined;

  constructor(source: ByteSource, tail: Uint8Array, signal: AbortSignal | undefined) {
    super();
    this.#source = source;
    this.#tail = tail;
    this.#signal = signal;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(() => undefined);
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#read(position, position + length)
      .then((bytes) => {
        buffer.set(bytes, offset);
        callback(null);
      }, callback)
      .catch(this.#fail);
  }

  async #read(begin: number, end: number): Promise<Uint8Array> {
    const { size } = this.#source;
    if (!(begin >= 0 && end <= size)) throw new RangeError(`bytes ${begin}..${end} of ${size}`);
    const inTail = begin - (size - this.#tail.length);
    if (inTail >= 0) return this.#tail.subarray(inTail, inTail + end - begin);
    return this.#source.read(begin, end, this.#signal);
  }
}
