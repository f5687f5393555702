/**
 * LLaVA-SP in Deno.
 *
 * @module @llava-sp/deno
 */
import {
  createCache,
  doctor as examine,
  loadModel,
  type DoctorOptions,
  type DoctorReport,
  type LoadOptions,
  type Model,
  type ModelCache,
  type ModelSource,
} from '@llava-sp/core';
import { denoHost } from './host.ts';
import { denoStore } from './store.ts';

export * from '@llava-sp/core';
export { denoHost } from './host.ts';

/**
 * Loads a model and makes it ready to answer: from a folder (a path or file: URL), an http(s) address, a hub
 * (`hub:owner/name@revision`) or Blobs. What is downloaded is kept in {@link cache}, and taken from there without the network
 * the next time. Its worker threads keep the process alive until `dispose()`.
 *
 * @throws LoadError when a file is missing, damaged, not permitted to be read or can't be downloaded, UnsupportedError for an unknown
 *   architecture or a device that is not there, ArgumentError for a wrong option, AbortedError when `signal` is aborted.
 */
export function load(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  return loadModel(denoHost, source, options);
}

/**
 * Examines what this machine computes with: every WebGPU kernel against float64, the WASM builds, and what the device `auto`
 * would be. Loads no model; takes up to a minute where the GPU is the CPU.
 *
 * @throws AbortedError when `signal` is aborted; all else is in the report.
 */
export function doctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  return examine(denoHost, options);
}

/**
 * The models that were downloaded: in `llava-sp/models` of the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`,
 * `~/Library/Caches`, `%LOCALAPPDATA%`), or in the folder that the environment names as `LLAVA_SP_CACHE`. Node and Deno share it.
 */
export const cache: ModelCache = createCache(denoStore);
