import type { IncomingMessage } from 'node:http';
import { ApiError } from './errors.ts';

/** Deeper JSON than any request or schema has. */
const MAX_DEPTH = 100;
/** Objects and lists in one request: each costs memory far beyond its two characters. */
const MAX_NODES = 100_000;

/** The memory that bodies, and pictures that were fetched, may take together, while they come and while they wait for their turn. */
export class Budget {
  readonly #most: number;
  #taken = 0;

  constructor(bytes: number) {
    this.#most = bytes;
  }

  get taken(): number {
    return this.#taken;
  }

  /** @throws {ApiError} 429 when there is no room. */
  take(bytes: number): void {
    if (this.#taken + bytes > this.#most) {
      throw new ApiError(429, 'server_busy', 'Too many large requests wait already. Try again later.', {
        headers: { 'retry-after': '2' },
      });
    }
    this.#taken += bytes;
  }

  give(bytes: number): void {
    this.#taken -= bytes;
  }
}

/** @throws {ApiError} 413 for a body that is announced as larger than `limit`. */
export function checkLength(request: IncomingMessage, limit: number): void {
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
}

/** Takes so many bytes more of the budget, for as long as a request is here. @throws {ApiError} 429 when there is no room. */
export type Take = (bytes: number) => void;

/**
 * The body of a request, taken from the budget as it comes.
 *
 * @throws {ApiError} 413 for more than `limit` bytes, as soon as it shows; 429 when all bodies together are too much; 400
 *   when it ends too early. What was not read yet stays unread.
 */
export async function readBody(request: IncomingMessage, limit: number, take: Take): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    // Left open: its connection has an answer to carry.
    for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += part.length;
      if (size > limit) throw tooLarge(limit);
      take(part.length);
      parts.push(part);
    }
  } catch (cause) {
    if (cause instanceof ApiError) throw cause;
    throw new ApiError(400, 'body_incomplete', 'The connection ended within the body.', { cause });
  }
  return Buffer.concat(parts);
}

function tooLarge(limit: number): ApiError {
  const most = limit < 1e6 ? `${limit} bytes` : `${(limit / 1e6).toFixed(1)} MB`;
  return new ApiError(413, 'body_too_large', `The body has more than ${most}. Send a smaller picture.`);
}

/**
 * The JSON of a body. Its depth and the number of its objects are bounded before anything is made of it.
 *
 * @throws {ApiError} 400.
 */
export function parseJson(body: Buffer): unknown {
  const { depth, nodes } = measure(body);
  if (depth > MAX_DEPTH || nodes > MAX_NODES) {
    throw new ApiError(
      400,
      'invalid_json',
      'The body is too deeply nested, or has too many objects and lists.',
    );
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as unknown;
  } catch (cause) {
    throw new ApiError(400, 'invalid_json', 'The body is not JSON in UTF-8.', { cause });
  }
}

const [QUOTE, BACKSLASH, OPEN_LIST, CLOSE_LIST, OPEN, CLOSE] = [...'"\\[]{}'].map((c) => c.charCodeAt(0));

/** Of JSON text, without parsing it. */
function measure(text: Buffer): { depth: number; nodes: number } {
  let [depth, deepest, nodes] = [0, 0, 0];
  for (let i = 0; i < text.length; i++) {
    const byte = text[i];
    if (byte === QUOTE) i = endOfString(text, i);
    else if (byte === OPEN || byte === OPEN_LIST) {
      nodes++;
      deepest = Math.max(deepest, ++depth);
    } else if (byte === CLOSE || byte === CLOSE_LIST) depth--;
  }
  return { depth: deepest, nodes };
}

/** Where the string that begins at `from` ends; pictures make them long. */
function endOfString(text: Buffer, from: number): number {
  for (let end = text.indexOf(QUOTE, from + 1); end >= 0; end = text.indexOf(QUOTE, end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}
