/**
 * LLaVA-SP in Node.
 *
 * @module @llava-sp/node
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
import { nodeHost } from './host.ts';
import { nodeStore } from './store.ts';

export * from '@llava-sp/core';
export { nodeHost } from './host.ts';

/**
 * Loads a model and makes it ready to answer: from a folder (a path or file: URL), an http(s) address, a hub
 * (`hub:owner/name@revision`) or Blobs. What is downloaded is kept in {@link cache}, and taken from there without the network
 * the next time.
 *
 * @throws LoadError when a file is missing, damaged or can't be downloaded, UnsupportedError for an unknown architecture or a device that is
 *   not there, ArgumentError for a wrong option, AbortedError when `signal` is aborted.
 */
export function load(source: ModelSource, options: LoadOptions = {}): Promise<Model> {
  return loadModel(nodeHost, source, options);
}

/**
 * Examines what this machine computes with: every WebGPU kernel against float64, the WASM builds, and what the device `auto`
 * would be. Loads no model; takes up to a minute where the GPU is the CPU.
 *
 * @throws AbortedError when `signal` is aborted; all else is in the report.
 */
export function doctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  return examine(nodeHost, options);
}

/**
 * The models that were downloaded: in `llava-sp/models` of the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`,
 * `~/Library/Caches`, `%LOCALAPPDATA%`), or in the folder that the environment names as `LLAVA_SP_CACHE`. Node and Deno share it.
 */
export const cache: ModelCache = createCache(nodeStore);
