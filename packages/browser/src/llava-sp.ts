/**
 * The whole package as one module, for pages without a bundler, extensions and service workers: it is its own worker, and holds
 * the kernels and the decoders of JPEG, PNG and WebP. AVIF's decoder lies beside it. Its declarations are those of `index.ts`.
 */
import { createCache, type Model, type ModelSource } from '@llava-sp/core';
import { readEmbedded } from './embedded.ts';
import { createHost } from './host.ts';
import { bytesAt, type Platform } from './platform.ts';
import { startDoctor, startModel, type BrowserDoctorOptions, type BrowserLoadOptions } from './start.ts';
import { baseAddress } from './workers.ts';
import { serveWorker } from './worker.ts';

export * from './exports.ts';

/** Tells the module that it runs as a worker of its own. */
const WORKER = 'llava-sp worker';

const platform: Platform = {
  readAsset: (name) =>
    name === 'avif_dec.wasm' ? bytesAt(new URL('./avif_dec.wasm', import.meta.url)) : readEmbedded(name),
  startWorker: () => new Worker(import.meta.url, { type: 'module', name: WORKER }),
};

if (typeof DedicatedWorkerGlobalScope === 'function' && self.name === WORKER) serveWorker(platform);

export const browserHost = createHost(platform, { base: baseAddress() });

export function load(source: ModelSource, options: BrowserLoadOptions = {}): Promise<Model> {
  return startModel(platform, source, options);
}

export function doctor(options: BrowserDoctorOptions = {}): ReturnType<typeof startDoctor> {
  return startDoctor(platform, options);
}

export const cache = createCache(browserHost.store);
