/**
 * A page as core sees it, for tests: every file comes from the server that `openChromium` starts. It runs in the page.
 */
import { createImageDecoder } from '../../packages/core/src/image/decode.ts';
import { fetchImage } from '../../packages/core/src/image/read.ts';
import { LoadError, UnsupportedError } from '../../packages/core/src/errors/index.ts';
import type { ByteSource, Host, ModelFiles, WorkerPort } from '../../packages/core/src/host.ts';
import { memorySettings } from './memory_settings.ts';

const decode = createImageDecoder(async (specifier) =>
  WebAssembly.compile(await bytesOf(`/node_modules/${specifier}`)),
);

export const browserHost: Host = {
  name: 'browser',
  hardwareConcurrency: navigator.hardwareConcurrency,
  sharedMemory: globalThis.crossOriginIsolated,
  openModel: async (source) => openFolder(String(source)),
  readImage: async (source, signal) =>
    source instanceof Blob
      ? new Uint8Array(await source.arrayBuffer())
      : fetchImage(new URL(source, location.href).href, signal),
  decodeImage: (bytes, signal) => decode(bytes, { signal }),
  readKernels: (file) => bytesOf(`/wasm/dist/${file}`),
  spawnWorker,
  async openGpu() {
    const { gpu } = navigator as { gpu?: GPU };
    if (gpu) return gpu;
    throw new UnsupportedError({
      code: 'BACKEND_UNAVAILABLE',
      message: 'This page has no navigator.gpu.',
      fix: 'Start the browser with WebGPU.',
    });
  },
  settings: memorySettings(),
};

async function bytesOf(path: string, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(path, { signal });
  if (!response.ok) throw new Error(`${path}: status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

function openFolder(folder: string): ModelFiles {
  const pathOf = (name: string): string => `${folder.replace(/\/$/, '')}/${name}`;
  const has = async (name: string): Promise<boolean> => (await fetch(pathOf(name), { method: 'HEAD' })).ok;
  return {
    location: folder,
    has,
    async open(name): Promise<ByteSource> {
      if (!(await has(name))) {
        throw new LoadError({
          code: 'MODEL_FILE_MISSING',
          message: `The model folder ${folder} lacks ${name}.`,
          fix: 'Serve it.',
        });
      }
      const bytes = await bytesOf(pathOf(name));
      return {
        size: bytes.length,
        read: async (begin, end) => bytes.slice(begin, end),
        close: () => Promise.resolve(),
      };
    },
  };
}

function spawnWorker(): WorkerPort {
  const worker = new Worker('/worker.js', { type: 'module' });
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (listener) =>
      worker.addEventListener('message', ({ data }: MessageEvent<unknown>) => listener(data)),
    onError: (listener) =>
      worker.addEventListener('error', ({ error, message }: ErrorEvent) =>
        listener(error ?? new Error(message)),
      ),
    terminate: async () => worker.terminate(),
  };
}
