import {
  createImageDecoder,
  fetchImage,
  isRemote,
  openRemote,
  UnsupportedError,
  type Host,
  type WorkerPort,
} from '@llava-sp/core';
import { openFolder } from './folder.ts';
import { readPixels } from './images.ts';
import { createStore } from './opfs.ts';
import type { AssetName, Platform } from './platform.ts';
import { webGlRenderer } from './renderer.ts';
import { databaseSettings } from './settings.ts';
import { hasWorkers, openWorker } from './workers.ts';

/** Core's, with what every browser's has. */
export type BrowserHost = Host & Required<Pick<Host, 'store' | 'readPixels'>>;

/** What differs between the threads in which a host is made. */
export interface HostOptions {
  /** What relative addresses are relative to. */
  readonly base: string;
  /** Where gpu.js is, for the device `webgl`. */
  readonly gpuJs?: string;
  /** Where the host is, and why: told with a model's other choices. */
  readonly thread?: 'worker' | 'page';
  readonly threadReason?: string;
}

/** A browser as core sees it. */
export function createHost(
  platform: Platform,
  { base, gpuJs, thread = 'page', threadReason }: HostOptions,
): BrowserHost {
  const decode = createImageDecoder(async (specifier) => {
    checkPolicy();
    return WebAssembly.compile(await platform.readAsset(assetOf(specifier)));
  });
  const host: BrowserHost = {
    name: 'browser',
    hardwareConcurrency: navigator.hardwareConcurrency,
    sharedMemory: globalThis.crossOriginIsolated && hasWorkers(),
    async openModel(source, signal) {
      const address = isRemote(source) ? source : new URL(source, base);
      return isRemote(address) ? openRemote(host, address, { signal }) : openFolder(address, signal);
    },
    readImage: async (source, signal) =>
      source instanceof Blob
        ? new Uint8Array(await source.arrayBuffer())
        : fetchImage(new URL(source, base).href, signal),
    readPixels,
    decodeImage: (bytes, signal) => decode(bytes, { signal }),
    async readKernels(file) {
      checkPolicy();
      return platform.readAsset(file as AssetName);
    },
    spawnWorker(): WorkerPort {
      return openWorker(platform, { role: 'thread', base });
    },
    openGpu,
    // By its address at run time: bundlers need not have it.
    openGpuJs:
      gpuJs === undefined
        ? undefined
        : (): Promise<unknown> => import(/* webpackIgnore: true */ /* @vite-ignore */ gpuJs),
    webGlRenderer,
    choices: threadReason === undefined ? [] : [{ what: 'thread', chosen: thread, reason: threadReason }],
    settings: databaseSettings,
    store: createStore(platform),
    spareStore: async () => (await import('./memory_store.ts')).memoryStore(),
  };
  return host;
}

/** `@jsquash/png/codec/pkg/squoosh_png_bg.wasm` is kept under its last name. */
function assetOf(specifier: string): AssetName {
  return specifier.slice(specifier.lastIndexOf('/') + 1) as AssetName;
}

/** The smallest module there is: a policy that forbids WebAssembly forbids this one too. */
const EMPTY = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** @throws {UnsupportedError} `BACKEND_UNAVAILABLE` where the page's policy forbids WebAssembly. */
function checkPolicy(): void {
  try {
    new WebAssembly.Module(EMPTY);
  } catch (cause) {
    throw new UnsupportedError({
      code: 'BACKEND_UNAVAILABLE',
      message: "The page's Content-Security-Policy forbids WebAssembly.",
      fix: 'Add \'wasm-unsafe-eval\' to its script-src; or use device "webgpu", and pass pixels, a canvas or an ImageBitmap.',
      cause,
    });
  }
}

async function openGpu(): Promise<GPU> {
  // Typed as always there, but not every browser has it.
  const { gpu } = navigator as { gpu?: GPU };
  if (gpu) return gpu;
  throw new UnsupportedError({
    code: 'BACKEND_UNAVAILABLE',
    message: globalThis.isSecureContext
      ? 'This browser has no navigator.gpu.'
      : 'There is no navigator.gpu: this page is no secure context.',
    fix: globalThis.isSecureContext
      ? 'Use a browser with WebGPU, or device "wasm".'
      : 'Serve the page by https or from localhost, or use device "wasm".',
  });
}
