/** Downloads in a page, for `openChromium`. */
import { browserHost, cache } from '../../packages/browser/src/index.ts';
import { downloadModel } from '../../packages/core/src/download/model.ts';
import type { DownloadOptions } from '../../packages/core/src/download/options.ts';
import { parseRemote } from '../../packages/core/src/download/remote.ts';
import { LlavaSpError } from '../../packages/core/src/errors/index.ts';
import type { CachedModel } from '../../packages/core/src/download/cache.ts';

export interface PageInput {
  readonly source?: string;
  readonly options?: DownloadOptions;
  /** Files to give the SHA-256 of. */
  readonly files?: readonly string[];
  /** Aborts once so many bytes are here. */
  readonly abortAt?: number;
  /** Writes through copies, as a browser does whose workers can't write in place. */
  readonly withoutWorker?: boolean;
  readonly delete?: string;
}

export interface PageOutput {
  readonly error: string | null;
  readonly hashes: readonly string[];
  readonly models: readonly CachedModel[];
  /** Bytes that were here before the first came. */
  readonly began: number | null;
}

export default async function run(input: PageInput): Promise<PageOutput> {
  if (input.withoutWorker) delete (globalThis as { Worker?: unknown }).Worker;
  if (input.delete) await cache.delete(input.delete);
  const controller = new AbortController();
  let error: string | null = null;
  let began: number | null = null;
  const hashes: string[] = [];
  try {
    if (input.source) {
      const files = await downloadModel({ store: browserHost.store }, parseRemote(input.source), {
        ...input.options,
        signal: controller.signal,
        onProgress: ({ loaded }) => {
          began ??= loaded;
          if (loaded >= (input.abortAt ?? Infinity)) controller.abort();
        },
      });
      for (const name of input.files ?? []) {
        const source = await files.open(name);
        const digest = await crypto.subtle.digest('SHA-256', (await source.read(0, source.size)).slice());
        hashes.push(
          Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join(''),
        );
      }
    }
  } catch (thrown) {
    if (!(thrown instanceof LlavaSpError)) throw thrown;
    error = `${thrown.code}${thrown.code === 'ABORTED' ? '' : `: ${thrown.message}`}`;
  }
  return { error, hashes, models: await cache.list(), began };
}
