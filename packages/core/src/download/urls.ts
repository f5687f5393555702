import { LoadError, throwIfAborted, untilAborted } from '../errors/index.ts';
import type { ByteSource, Host, ModelFiles } from '../host.ts';
import { sourceOf } from './blobs.ts';
import { Meter, type DownloadProgress } from './progress.ts';
import type { UrlSource } from './source.ts';

/**
 * A model folder out of addresses. Each file is fetched whole when it is opened, and not kept: the runtime's own HTTP cache does
 * that.
 *
 * @throws {LoadError} from `open`: `MODEL_FILE_MISSING`, `DOWNLOAD_FAILED`; AbortedError.
 */
export function filesOfUrls(
  host: Pick<Host, 'fetch'>,
  source: UrlSource,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (progress: DownloadProgress) => void },
): ModelFiles {
  const find = (name: string): URL | undefined => (Object.hasOwn(source, name) ? source[name] : undefined);
  return {
    location: 'the given addresses',
    has: async (name) => find(name) !== undefined,
    async open(name) {
      const address = find(name);
      if (address) return fetchWhole(host.fetch ?? fetch, address, name, signal, onProgress);
      throw new LoadError({
        code: 'MODEL_FILE_MISSING',
        message: `${name} is not among the given addresses.`,
        fix: 'Pass the addresses of all files of the model folder.',
      });
    },
  };
}

async function fetchWhole(
  get: typeof fetch,
  address: URL,
  name: string,
  signal: AbortSignal | undefined,
  onProgress: ((progress: DownloadProgress) => void) | undefined,
): Promise<ByteSource> {
  // The other files are too small to tell of.
  const meter = name.endsWith('.safetensors') ? new Meter((progress) => onProgress?.(progress)) : null;
  try {
    const bytes = inlineBytes(address);
    if (bytes) return sourceOf(new Blob([bytes]), name);
    const response = await untilAborted(get(address, { signal }), signal);
    if (!response.ok) throw new Error(`status ${response.status}`);
    meter?.start();
    meter?.expect(Number(response.headers.get('content-length')));
    const pieces: Blob[] = [];
    const reader = response.body?.getReader();
    for (let piece = await reader?.read(); piece?.value; piece = await reader?.read()) {
      pieces.push(new Blob([piece.value]));
      meter?.received(piece.value.length);
    }
    meter?.end();
    return sourceOf(new Blob(pieces), name);
  } catch (cause) {
    throwIfAborted(signal);
    throw new LoadError({
      code: 'DOWNLOAD_FAILED',
      message: `${name} could not be fetched: ${reasonOf(cause)}.`,
      fix: 'Check that the application serves the files of the model, and that its policy (connect-src) allows it.',
      cause,
    });
  } finally {
    meter?.stop();
  }
}

/** Some browsers end their sentences. */
function reasonOf(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, '');
}

/**
 * The bytes of a `data:` address in base64; `null` for any other. What a bundler has put into the address itself is not fetched:
 * a page's policy need not allow that.
 */
export function inlineBytes({ href }: URL): Uint8Array<ArrayBuffer> | null {
  const data = /^data:[^,]*;base64,(.*)$/s.exec(href);
  return data ? fromBase64(decodeURIComponent(data[1])) : null;
}

/** The bytes that a base64 text stands for. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
