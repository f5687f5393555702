import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { AbortedError, LoadError, UnsupportedError, type Host, type WorkerPort } from '@llava-sp/core';
import { openFolder, toPath } from './files.ts';
import { decodeImage } from './image/decode.ts';

const { resolve } = createRequire(import.meta.url);

/** Node as core sees it: files, worker threads, image decoding. */
export const nodeHost: Host = {
  name: 'node',
  hardwareConcurrency: availableParallelism(),
  sharedMemory: true,
  openModel: (source) => openFolder(source),
  readImage,
  decodeImage: (bytes, signal) => decodeImage(bytes, { signal }),
  readKernels: (file) => readFile(resolve(`@llava-sp/core/wasm/${file}`)),
  spawnWorker,
};

async function readImage(source: string | URL | Blob, signal?: AbortSignal): Promise<Uint8Array> {
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  const text = String(source);
  if (/^(https?|data|blob):/i.test(text)) return fetchImage(text, signal);
  if (source instanceof URL && source.protocol !== 'file:') {
    throw new UnsupportedError({
      code: 'SOURCE_UNSUPPORTED',
      message: `Images can't be read from ${source.protocol} addresses.`,
      fix: 'Pass a path, an http(s), data or file URL, bytes or a Blob.',
    });
  }
  try {
    return await readFile(toPath(source), { signal });
  } catch (cause) {
    if (signal?.aborted) throw new AbortedError(signal.reason);
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw unreadable(missing ? `There is no image at ${text}.` : `The image ${text} can't be read.`, cause);
  }
}

async function fetchImage(address: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  // A data URL may be megabytes: it has no place in a message.
  const shown = address.slice(0, 120);
  try {
    const response = await fetch(address, { signal });
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
    throw new Error(`status ${response.status}`);
  } catch (cause) {
    if (signal?.aborted) throw new AbortedError(signal.reason);
    throw unreadable(`The image at ${shown} can't be fetched.`, cause);
  }
}

function unreadable(message: string, cause: unknown): LoadError {
  return new LoadError({
    code: 'FILE_UNREADABLE',
    message,
    fix: 'Check the path or address, and that it may be read.',
    cause,
  });
}

function spawnWorker(): WorkerPort {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { name: 'llava-sp' });
  // An idle model does not keep the process alive; a request that waits for its reply does.
  worker.unref();
  let pending = 0;
  return {
    post(message, transfer) {
      if (pending++ === 0) worker.ref();
      worker.postMessage(message, transfer);
    },
    onMessage: (listener) =>
      void worker.on('message', (message) => {
        if (--pending === 0) worker.unref();
        listener(message);
      }),
    onError: (listener) => void worker.on('error', listener),
    terminate: async () => void (await worker.terminate()),
  };
}
