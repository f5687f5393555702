import { AbortedError, ArgumentError, LlavaSpError, LoadError } from '../errors/index.ts';
import type { Remote } from './remote.ts';

/** A reply, with what a hub says of the file on the way to it. */
export interface Reply {
  readonly response: Response;
  readonly etag: string | null;
  /** The commit that the revision stands for. */
  readonly commit: string | null;
  /** SHA-256 of the whole file, where the hub knows it. */
  readonly sha256: string | null;
  /** Bytes of the whole file, where the reply or the hub says it. */
  readonly size: number | null;
}

export type Request = (
  file: string,
  init: { method: 'GET' | 'HEAD'; commit: string | null; begin?: number; signal: AbortSignal },
) => Promise<Reply>;

/** Something that another try may get past. */
export class Interrupted extends Error {
  /** Milliseconds that the server asks to wait. */
  readonly wait: number | null;

  constructor(message: string, options: { cause?: unknown; wait?: number | null } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.wait = options.wait ?? null;
  }
}

const MOST_REDIRECTS = 10;
const REDIRECTS = [301, 302, 303, 307, 308];

/**
 * Asks a remote folder for files. Redirects are followed by hand where the runtime shows them: the hub's own reply names the
 * commit and the hash, and the token must not travel on to another origin. Browsers hide redirects; they drop the token
 * themselves.
 *
 * @throws {ArgumentError} `OPTION_INVALID` for a token that no header can hold; it is not shown.
 */
export function createRequest(remote: Remote, token: string | undefined, fetchOne = fetch): Request {
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new ArgumentError({
      code: 'OPTION_INVALID',
      message: 'The token holds characters that no token has.',
      fix: "Check for blanks and line ends around it; it is as the hub's settings show it.",
    });
  }
  let hidden = false;
  return async (file, { method, commit, begin, signal }) => {
    let address = remote.address(file, commit);
    const seen = {
      commit: null as string | null,
      sha256: null as string | null,
      size: null as number | null,
    };
    for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
      const headers = new Headers({ 'accept-encoding': 'identity' });
      if (begin !== undefined) headers.set('range', `bytes=${begin}-`);
      if (token !== undefined && new URL(address).origin === remote.origin) {
        headers.set('authorization', `Bearer ${token}`);
      }
      const init: RequestInit = { method, headers, signal, cache: 'no-store' };
      const send = (redirect: RequestRedirect): Promise<Response> =>
        reach(() => fetchOne(address, { ...init, redirect }), file, signal);
      let response = await send(hidden ? 'follow' : 'manual');
      if (response.type === 'opaqueredirect') {
        hidden = true;
        response = await send('follow');
      }
      seen.commit ??= response.headers.get('x-repo-commit');
      seen.sha256 ??= linkedHash(response.headers);
      seen.size ??= count(response.headers.get('x-linked-size'));
      if (!REDIRECTS.includes(response.status)) {
        return { response, etag: response.headers.get('etag'), ...seen, size: seen.size ?? sizeOf(response) };
      }
      await response.body?.cancel();
      address = followed(response.headers.get('location'), address, file);
    }
    throw new Interrupted(`${file} is redirected more than ${MOST_REDIRECTS} times`);
  };
}

async function reach<T>(work: () => Promise<T>, file: string, signal: AbortSignal): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (signal.aborted) throw new AbortedError(signal.reason);
    // The host knows that it can't be had.
    if (cause instanceof LlavaSpError) throw cause;
    throw new Interrupted(`the server can't be reached for ${file}`, { cause });
  }
}

function followed(location: string | null, address: string, file: string): string {
  let url: URL | null = null;
  try {
    url = location === null ? null : new URL(location, address);
  } catch {
    // As one that is not there.
  }
  if (url && /^https?:$/.test(url.protocol)) return url.href;
  throw new Interrupted(`${file} is redirected to nowhere`);
}

/** Git LFS files have their SHA-256 as the linked ETag. */
function linkedHash(headers: Headers): string | null {
  return /^(?:W\/)?"?([0-9a-f]{64})"?$/.exec(headers.get('x-linked-etag') ?? '')?.[1] ?? null;
}

/** What a reply says of the whole file's bytes. What was compressed on the way has other lengths than the file. */
function sizeOf({ status, headers }: Response): number | null {
  if (status === 206) return rangeOf(headers)?.total ?? null;
  return status === 200 && !isEncoded(headers) ? count(headers.get('content-length')) : null;
}

export function isEncoded(headers: Headers): boolean {
  return (headers.get('content-encoding') ?? 'identity') !== 'identity';
}

function count(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** `bytes 5-9/10` gives 5, 9 and 10; of `bytes *` + `/10` the total alone is known. */
export function rangeOf(headers: Headers): { begin: number; last: number; total: number | null } | null {
  const match = /^bytes (?:(\d{1,15})-(\d{1,15})|\*)\/(\d{1,15}|\*)$/.exec(
    headers.get('content-range') ?? '',
  );
  if (!match) return null;
  const [, begin = -1, last = -1, total] = match;
  return { begin: Number(begin), last: Number(last), total: total === '*' ? null : Number(total) };
}

/** Longest time that a server may ask to wait, in milliseconds. */
const MOST_WAIT = 120_000;

/**
 * The error for a reply that holds no file.
 *
 * @param name of the model.
 */
export function refusal(response: Response, file: string, name: string): Interrupted | LoadError {
  const { status } = response;
  if (status === 404 || status === 410) {
    return new LoadError({
      code: 'MODEL_FILE_MISSING',
      message: `${name} has no ${file}.`,
      fix: 'Check the address or the id and revision.',
    });
  }
  if (status === 401 || status === 403) {
    return new LoadError({
      code: 'DOWNLOAD_DENIED',
      message: `${name} may not be downloaded: the server answers ${status} for ${file}.`,
      fix: 'Pass a token that may read it (option token, or HF_TOKEN for hubs), or check the name: hubs answer so for models that do not exist, too.',
    });
  }
  const message = `the server answers ${status} for ${file}`;
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    return new Interrupted(message, { wait: retryAfter(response.headers.get('retry-after')) });
  }
  return new LoadError({
    code: 'DOWNLOAD_FAILED',
    message: `${name} can't be downloaded: ${message}.`,
    fix: 'Check the address.',
  });
}

/** Milliseconds, from seconds or a date. */
function retryAfter(text: string | null): number | null {
  if (text === null) return null;
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.min(Math.max(seconds * 1000, 0), MOST_WAIT);
}
