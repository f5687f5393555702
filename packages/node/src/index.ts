/** LLaVA-SP in Node. */
import { loadModel, type LoadOptions, type Model } from '@llava-sp/core';
import { nodeHost } from './host.ts';

export * from '@llava-sp/core';
export { nodeHost } from './host.ts';

/**
 * Loads a model from a folder (a path or file: URL) and makes it ready to answer.
 *
 * @throws LoadError when a file is missing or damaged, UnsupportedError for an unknown architecture or a device that is
 *   not there, ArgumentError for a wrong option, AbortedError when `signal` is aborted.
 */
export function load(source: string | URL, options: LoadOptions = {}): Promise<Model> {
  return loadModel(nodeHost, source, options);
}
