import { Worker } from 'node:worker_threads';
import { DeviceError } from '@llava-sp/core';
import type { Chunk, StoredChunk } from './chunk.ts';

/** Worker threads that store chunks. */
export interface QuantiserPool {
  readonly size: number;
  /** Chunks wait for a free thread in the order they come. The bytes of a chunk's values are moved, not copied. */
  run(chunk: Chunk): Promise<StoredChunk>;
  /** Ends the threads; what they had begun never settles. */
  close(): Promise<void>;
}

interface Waiting {
  readonly chunk: Chunk;
  readonly resolve: (stored: StoredChunk) => void;
  readonly reject: (error: unknown) => void;
}

/** Starts `size` threads that run `entry`, the worker entry of this package. */
export function createPool(size: number, entry: URL): QuantiserPool {
  const waiting: Waiting[] = [];
  let failure: DeviceError | null = null;

  const workers = Array.from({ length: size }, () => {
    // Flags of the process are not for this file: with --input-type, as behind `node --eval`, a thread can't even start.
    const worker = new Worker(entry, { name: 'llava-sp convert', execArgv: [] });
    const slot: { readonly worker: Worker; job: Waiting | null } = { worker, job: null };
    worker.on('message', (stored: StoredChunk) => {
      slot.job?.resolve(stored);
      slot.job = null;
      feed(slot);
    });
    worker.on('error', (cause) => fail(cause));
    worker.on('exit', (code) => fail(new Error(`the thread ended with code ${code}`)));
    return slot;
  });

  function feed(slot: (typeof workers)[number]): void {
    if (slot.job) return;
    const job = waiting.shift();
    if (!job) return;
    slot.job = job;
    const values = job.chunk.values?.bytes;
    // A view of something larger, as a mapped file, is copied: its buffer is not ours to give away.
    const own = values?.buffer instanceof ArrayBuffer && values.byteLength === values.buffer.byteLength;
    slot.worker.postMessage(job.chunk, own ? [values.buffer] : []);
  }

  function fail(cause: unknown): void {
    failure ??= new DeviceError({
      code: 'WORKER_FAILED',
      message: 'A worker thread of the conversion ended by itself.',
      fix: 'Free memory and run the conversion again: it goes on where it stopped.',
      cause,
    });
    for (const job of [...workers.map((slot) => slot.job), ...waiting.splice(0)]) job?.reject(failure);
  }

  return {
    size,
    run(chunk) {
      return new Promise((resolve, reject) => {
        if (failure) return reject(failure);
        waiting.push({ chunk, resolve, reject });
        for (const slot of workers) feed(slot);
      });
    },
    async close() {
      await Promise.all(
        workers.map(({ worker }) => {
          worker.removeAllListeners('exit');
          return worker.terminate();
        }),
      );
    },
  };
}
