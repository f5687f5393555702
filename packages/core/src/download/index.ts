/** Models from anywhere: folders, addresses, hubs, files at hand; and the cache of what was downloaded. */
import { ArgumentError, LoadError, type ErrorCode } from '../errors/index.ts';
import type { Host, ModelFiles } from '../host.ts';
import { filesOfBlobs } from './blobs.ts';
import type { DownloadEvents } from './model.ts';
import { limitsOf, type DownloadOptions } from './options.ts';
import { isRemote, isUrls, type ModelSource } from './source.ts';
import { filesOfUrls } from './urls.ts';

/**
 * Opens a model's folder, wherever it is; a remote one is downloaded whole unless the cache has it.
 *
 * @throws {ArgumentError} `OPTION_INVALID`; as the host's `openModel` and the download.
 */
export async function openSource(
  host: Host,
  source: ModelSource,
  options: DownloadOptions & DownloadEvents = {},
): Promise<ModelFiles> {
  limitsOf(options);
  if (isRemote(source)) {
    const { downloadModel, parseRemote } = await import('./lazy.ts');
    const remote = parseRemote(source, host.environment);
    try {
      return await downloadModel(host, remote, options);
    } catch (error) {
      const isCache = error instanceof LoadError && CACHE_ERRORS.includes(error.code);
      if (!isCache || !host.spareStore) throw error;
      const store = await host.spareStore();
      options.onUncached?.(
        `The model is kept in ${store.location}, and not for the next time: ${error.message}`,
      );
      return downloadModel({ ...host, store }, remote, options);
    }
  }
  if (typeof source === 'string' || source instanceof URL) return host.openModel(source, options.signal);
  return isUrls(source) ? filesOfUrls(host, source, options) : filesOfBlobs(source);
}

const CACHE_ERRORS: readonly string[] = ['CACHE_FULL', 'CACHE_UNAVAILABLE'] satisfies ErrorCode[];

/**
 * For hosts: the folder of a remote source, each file of which comes into the cache when it is opened.
 *
 * @throws {ArgumentError} `OPTION_INVALID`.
 */
export async function openRemote(
  host: Pick<Host, 'store' | 'environment' | 'fetch'>,
  source: string | URL,
  options: DownloadOptions & DownloadEvents = {},
): Promise<ModelFiles> {
  const { parseRemote, remoteFiles } = await import('./lazy.ts');
  return remoteFiles(host, parseRemote(source, host.environment), options);
}

/** @throws {ArgumentError} `OPTION_INVALID` for what is no source at all. */
export function checkSource(source: ModelSource): void {
  if (typeof source === 'string' ? source !== '' : typeof source === 'object' && source !== null) return;
  const found = source === '' ? 'an empty text' : source === null ? 'null' : typeof source;
  throw new ArgumentError({
    code: 'OPTION_INVALID',
    message: `The model is ${found}; it must be a path, a URL, a hub's model or files.`,
    fix: 'Pass the path of a model folder, its address, hub:owner/name, or its files.',
  });
}
