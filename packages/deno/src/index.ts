/** LLaVA-SP in Deno. */
import { loadModel, type LoadOptions, type Model } from '@llava-sp/core';
import { denoHost } from './host.ts';

export * from '@llava-sp/core';
export { denoHost } from './host.ts';

/**
 * Loads a model from a folder (a path or file: URL) and makes it ready to answer. Its worker threads keep the process
 * alive until `dispose()`.
 *
 * @throws LoadError when a file is missing, damaged or not permitted to be read, UnsupportedError for an unknown
 *   architecture or a device that is not there, ArgumentError for a wrong option, AbortedError when `signal` is aborted.
 */
export function load(source: string | URL, options: LoadOptions = {}): Promise<Model> {
  return loadModel(denoHost, source, options);
}
