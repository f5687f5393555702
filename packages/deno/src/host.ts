import {
  AbortedError,
  checkImageBytes,
  collectImage,
  createImageDecoder,
  fetchImage,
  imageFileError,
  isRemote,
  LlavaSpError,
  openRemote,
  UnsupportedError,
  type Host,
  type WorkerPort,
} from '@llava-sp/core';
import { denoFetch } from './fetch.ts';
import { notPermitted, openFolder, toPath } from './files.ts';
import { localSettings } from './settings.ts';
import { denoStore, environment } from './store.ts';

const decode = createImageDecoder(async (specifier) => WebAssembly.compile(await readPackaged(specifier)));

/** Deno as core sees it: files, worker threads, image decoding, WebGPU. */
export const denoHost: Host = {
  name: 'deno',
  hardwareConcurrency: navigator.hardwareConcurrency,
  sharedMemory: true,
  openModel: async (source, signal) =>
    isRemote(source) ? openRemote(denoHost, source, { signal }) : openFolder(source),
  readImage,
  decodeImage: (bytes, signal) => decode(bytes, { signal }),
  readKernels: (file) => readPackaged(`@llava-sp/core/wasm/${file}`),
  spawnWorker,
  openGpu,
  settings: localSettings,
  store: denoStore,
  fetch: denoFetch,
  environment,
};

/** A file of an installed npm package. */
async function readPackaged(specifier: string): Promise<Uint8Array<ArrayBuffer>> {
  const url = new URL(import.meta.resolve(specifier));
  try {
    return await Deno.readFile(url);
  } catch (cause) {
    throw cause instanceof Deno.errors.NotCapable ? notPermitted(url, cause) : cause;
  }
}

const CHUNK_BYTES = 256 << 10;

async function readImage(source: string | URL | Blob, signal?: AbortSignal): Promise<Uint8Array> {
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  const text = String(source);
  if (/^(https?|data|blob):/i.test(text)) return fetchImage(text, signal, denoFetch);
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
    if (cause instanceof Deno.errors.NotCapable) throw notPermitted(toPath(source), cause);
    throw imageFileError(text, cause instanceof Deno.errors.NotFound, cause);
  }
}

async function* fileChunks(path: string | URL): AsyncGenerator<Uint8Array> {
  const file = await Deno.open(path);
  try {
    checkImageBytes((await file.stat()).size, String(path));
    for (;;) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const count = await file.read(chunk);
      if (count === null) return;
      yield chunk.subarray(0, count);
    }
  } finally {
    file.close();
  }
}

function spawnWorker(): WorkerPort {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'llava-sp' });
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (listener) =>
      worker.addEventListener('message', ({ data }: MessageEvent<unknown>) => listener(data)),
    onError: (listener) =>
      worker.addEventListener('error', (event) => {
        // Or Deno ends the process.
        event.preventDefault();
        listener(event.error ?? new Error(event.message));
      }),
    terminate: async () => worker.terminate(),
  };
}

async function openGpu(): Promise<GPU> {
  // Typed as always there, but a Deno may be built without it.
  const { gpu } = navigator as { gpu?: GPU };
  if (gpu) return gpu;
  throw new UnsupportedError({
    code: 'BACKEND_UNAVAILABLE',
    message: 'This Deno has no navigator.gpu.',
    fix: 'Use a current release of Deno, or device "wasm".',
  });
}
