import { createHash, type Hash } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { LoadError } from '@llava-sp/core';
import { throwIfAborted, untilAborted } from '@llava-sp/core/formats';
import type { PlannedTensor, SourceTensor } from '../contract.ts';
import type { Chunk, LoraRows, RawFloats, StoredChunk } from '../quantise/chunk.ts';
import type { Moments } from '../quantise/feedback.ts';
import type { QuantiserPool } from '../quantise/pool.ts';
import type { Placed, Shard } from './layout.ts';
import { partialPath, saveState, type State, type TensorError } from './state.ts';

/** Bytes of one chunk's input: large enough to stream, small enough that a few of them are nothing. */
const CHUNK_BYTES = 16e6;

export interface ShardOptions {
  readonly folder: string;
  readonly state: State;
  readonly pool: QuantiserPool;
  /** By on-device tensor: of the inputs that calibration saw. */
  readonly moments: ReadonlyMap<string, Moments>;
  readonly signal?: AbortSignal;
  /** Called with the published bytes that were read and stored since the last call. */
  readonly onBytes: (bytes: number, tensor: string) => void;
}

/** A chunk on its way: being read, stored by a thread, or waiting to be written. */
interface Pending {
  readonly placed: Placed;
  readonly last: boolean;
  readonly bytes: number;
  readonly stored: Promise<StoredChunk>;
}

/**
 * Writes the shards that the state does not list, in order, each under another name until it is whole. Chunks are read and
 * stored ahead of the writing, a few for each thread: this bounds the memory.
 *
 * @throws {LoadError} `WEIGHTS_NOT_FINITE`, `WEIGHTS_OVERFLOW` naming the tensor; what reading the sources throws.
 */
export async function writeShards(shards: readonly Shard[], options: ShardOptions): Promise<void> {
  const { state, signal } = options;
  const missing = shards.filter(({ file }) => !state.shards[file]);
  const chunks = missing.flatMap((shard) => shard.tensors.flatMap(cutTensor));
  const ahead: Pending[] = [];
  let next = 0;
  const fill = (): void => {
    while (next < chunks.length && ahead.length < 2 * options.pool.size) {
      const chunk = chunks[next++];
      const stored = prepare(chunk, options.moments, signal).then((ready) => options.pool.run(ready));
      // It is looked at in its turn; until then nobody listens.
      stored.catch(() => undefined);
      ahead.push({ placed: chunk.placed, last: chunk.last, bytes: chunk.bytes, stored });
    }
  };
  const take = async (): Promise<Pending> => {
    throwIfAborted(signal);
    fill();
    const first = ahead.shift();
    if (!first) throw new Error('there are fewer chunks than tensors to write');
    return first;
  };
  for (const shard of missing) await writeShard(shard, take, options);
}

async function writeShard(
  shard: Shard,
  take: () => Promise<Pending>,
  { folder, state, signal, onBytes }: ShardOptions,
): Promise<void> {
  const temporary = partialPath(folder, shard.file);
  const file = await open(temporary, 'w');
  const hash = createHash('sha256');
  const errors: Record<string, TensorError> = {};
  try {
    await append(file, hash, shard.header);
    for (const { planned } of shard.tensors) {
      const tails: [Uint8Array[], Uint8Array[]] = [[], []];
      let [error, norm, last] = [0, 0, false];
      while (!last) {
        const pending = await take();
        const stored = await untilAborted(pending.stored, signal);
        check(planned, stored);
        await append(file, hash, stored.values);
        tails[0].push(stored.scales);
        tails[1].push(stored.biases);
        error += stored.error;
        norm += stored.norm;
        last = pending.last;
        onBytes(pending.bytes, planned.name);
      }
      for (const bytes of tails.flat()) await append(file, hash, bytes);
      errors[planned.name] = { error, norm };
    }
    await file.close();
  } catch (cause) {
    await file.close();
    await rm(temporary, { force: true });
    throw cause;
  }
  await rename(temporary, join(folder, shard.file));
  state.shards[shard.file] = { sha256: hash.digest('hex'), size: shard.size, errors };
  await saveState(folder, state);
}

async function append(file: FileHandle, hash: Hash, bytes: Uint8Array): Promise<void> {
  if (bytes.length === 0) return;
  const writing = file.writeFile(bytes);
  hash.update(bytes);
  await writing;
}

function check({ name }: PlannedTensor, { notFinite, overflow }: StoredChunk): void {
  if (notFinite) {
    throw new LoadError({
      code: 'WEIGHTS_NOT_FINITE',
      message: `The published tensor of "${name}" holds a value that is not a finite number.`,
      fix: 'Download the published checkpoint again; its weights are damaged.',
    });
  }
  if (overflow) {
    throw new LoadError({
      code: 'WEIGHTS_OVERFLOW',
      message: `"${name}" holds values past 65504, which 16-bit floats can't hold.`,
      fix: 'Check the published weights: no model of this family has values of that size.',
    });
  }
}

/** Rows of one tensor that are read and stored together. */
interface Cut {
  readonly placed: Placed;
  readonly begin: number;
  readonly end: number;
  readonly last: boolean;
  readonly bytes: number;
}

function cutTensor(placed: Placed): Cut[] {
  const { planned, cols } = placed;
  const rows = planned.shape[0] ?? 1;
  const rowBytes = rowSize(planned, cols);
  const step = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
  const cuts: Cut[] = [];
  for (let begin = 0; begin < rows; begin += step) {
    const end = Math.min(rows, begin + step);
    cuts.push({ placed, begin, end, last: end === rows, bytes: (end - begin) * rowBytes });
  }
  return cuts;
}

function rowSize({ source }: PlannedTensor, cols: number): number {
  return cols * (source?.dtype === 'F32' ? 4 : 2);
}

/** Published bytes that a tensor is made from, its adapter aside. */
export function inputBytes({ planned, cols }: Placed): number {
  return (planned.shape[0] ?? 1) * rowSize(planned, cols);
}

async function prepare(
  { placed, begin, end }: Cut,
  moments: ReadonlyMap<string, Moments>,
  signal?: AbortSignal,
): Promise<Chunk> {
  const { planned, cols, storage } = placed;
  const { source, rows, lora, rowScale, kernel } = planned;
  const [values, update, scales] = await Promise.all([
    source && readRows(source, rows[0] + begin, rows[0] + end, signal),
    lora && readLora(planned.name, lora, begin, end, signal),
    rowScale && readRows(rowScale, begin, end, signal),
  ]);
  return {
    rows: end - begin,
    cols,
    cells: kernel > 1 ? kernel * kernel : 1,
    values,
    lora: update,
    rowScale: scales,
    storage,
    moments: moments.get(planned.name) ?? null,
  };
}

async function readRows(
  source: SourceTensor,
  begin: number,
  end: number,
  signal?: AbortSignal,
): Promise<RawFloats> {
  const bytes = await source.read(begin, end, signal);
  // A view of something larger would take the whole of it to the thread.
  const own = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
  return { bytes: own, dtype: source.dtype };
}

async function readLora(
  key: string,
  { a, b, scale }: NonNullable<PlannedTensor['lora']>,
  begin: number,
  end: number,
  signal?: AbortSignal,
): Promise<LoraRows> {
  const rank = a.shape[0];
  const [whole, some] = await Promise.all([readRows(a, 0, rank, signal), readRows(b, begin, end, signal)]);
  return { rank, scale, key, a: whole, b: some };
}
