import { open, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import {
  AbortedError,
  checkImageBytes,
  collectImage,
  fetchImage,
  imageFileError,
  isRemote,
  LlavaSpError,
  openRemote,
  UnsupportedError,
  type Host,
  type WorkerPort,
} from '@llava-sp/core';
import { openFolder, toPath } from './files.ts';
import { nodeFetch } from './fetch.ts';
import { openGpu } from './gpu.ts';
import { decodeImage } from './image/decode.ts';
import { fileSettings, settingsPath } from './settings.ts';
import { nodeStore } from './store.ts';

const { resolve } = createRequire(import.meta.url);

/** Node as core sees it: files, worker threads, image decoding, WebGPU. */
export const nodeHost: Host = {
  name: 'node',
  hardwareConcurrency: availableParallelism(),
  sharedMemory: true,
  openModel: async (source, signal) =>
    isRemote(source) ? openRemote(nodeHost, source, { signal }) : openFolder(source),
  readImage,
  decodeImage: (bytes, signal) => decodeImage(bytes, { signal }),
  readKernels: (file) => readFile(resolve(`@llava-sp/core/wasm/${file}`)),
  spawnWorker,
  openGpu,
  settings: fileSettings(settingsPath()),
  store: nodeStore,
  fetch: nodeFetch,
  environment: (name) => process.env[name],
};

const CHUNK_BYTES = 256 << 10;

async function readImage(source: string | URL | Blob, signal?: AbortSignal): Promise<Uint8Array> {
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  const text = String(source);
  if (/^(https?|data|blob):/i.test(text)) return fetchImage(text, signal, nodeFetch);
  if (source instanceof URL && source.protocol !== 'file:') {
    throw new UnsupportedError({
      code: 'SOURCE_UNSUPPORTED',
      message: `Images can't be read from ${source.protocol} addresses.`,
      fix: 'Pass a path, an http(s), data or file URL, bytes or a Blob.',
    });
  }
  try {
    return await collectImage(fileChunks(toPath(source)), text, signal);
  } catch (cause) {
    if (cause instanceof LlavaSpError) throw cause;
    if (signal?.aborted) throw new AbortedError(signal.reason);
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw imageFileError(text, missing, cause);
  }
}

async function* fileChunks(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path);
  try {
    checkImageBytes((await file.stat()).size, path);
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES));
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

function spawnWorker(): WorkerPort {
  // Flags of the process are not for this file: with --input-type, as behind `node --eval`, a thread can't even start.
  const worker = new Worker(new URL('./worker.js', import.meta.url), { name: 'llava-sp', execArgv: [] });
  // An idle model does not keep the process alive; a request that waits for its reply does.
  worker.unref();
  let pending = 0;
  let terminated = false;
  return {
    post(message, transfer) {
      if (pending++ === 0) worker.ref();
      worker.postMessage(message, transfer);
    },
    onMessage: (listener) =>
      void worker.on('message', (message) => {
        // A thread that is being ended is waited for, whatever replies were on their way.
        if (--pending === 0 && !terminated) worker.unref();
        listener(message);
      }),
    onError(listener) {
      worker.on('error', listener);
      // A thread may also end without an error of its own.
      worker.on('exit', (code) => {
        if (!terminated) listener(new Error(`the thread ended with code ${code}`));
      });
    },
    async terminate() {
      terminated = true;
      await worker.terminate();
    },
  };
}
