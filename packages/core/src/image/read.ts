/** The bytes of an image file, however they come: what the hosts share. */
import { AbortedError, ArgumentError, LlavaSpError, LoadError } from '../errors/index.ts';

/** Twice a picture of the most pixels that are read, at 16 bits and uncompressed; devices and streams may never end. */
const MAX_IMAGE_BYTES = 512 << 20;

/**
 * For a file whose size is known before it is read.
 *
 * @throws {ArgumentError} `IMAGE_TOO_LARGE` for more bytes than any picture has.
 */
export function checkImageBytes(size: number, source: string): void {
  if (size <= MAX_IMAGE_BYTES) return;
  throw new ArgumentError({
    code: 'IMAGE_TOO_LARGE',
    message: `${shorten(source)} has more than ${MAX_IMAGE_BYTES} bytes.`,
    fix: 'Pass the path of an image file.',
  });
}

/**
 * Joins the pieces of an image file.
 *
 * @param source path or address, for messages.
 * @throws {ArgumentError} as {@link checkImageBytes}, as soon as too much has come; {@link AbortedError}.
 */
export async function collectImage(
  pieces: AsyncIterable<Uint8Array>,
  source: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const piece of pieces) {
    if (signal?.aborted) throw new AbortedError(signal.reason);
    size += piece.length;
    checkImageBytes(size, source);
    parts.push(piece);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * Fetches an image from an http(s), data or blob address.
 *
 * @param get in the place of the runtime's `fetch`.
 * @throws {LoadError} `FILE_UNREADABLE`; as {@link collectImage}.
 */
export async function fetchImage(address: string, signal?: AbortSignal, get = fetch): Promise<Uint8Array> {
  try {
    const response = await get(address, { signal });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return response.body ? await collectImage(chunksOf(response.body), address) : new Uint8Array(0);
  } catch (cause) {
    if (cause instanceof LlavaSpError) throw cause;
    if (signal?.aborted) throw new AbortedError(signal.reason);
    throw imageUnreadable(`The image at ${shorten(address)} can't be fetched.`, cause);
  }
}

/** Iterates by a reader: not every browser's streams are async iterables. */
async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}

/** The error for an image file that is not there (`missing`) or can't be read. */
export function imageFileError(path: string, missing: boolean, cause: unknown): LoadError {
  const shown = shorten(path);
  return imageUnreadable(
    missing ? `There is no image at ${shown}.` : `The image ${shown} can't be read.`,
    cause,
  );
}

function imageUnreadable(message: string, cause: unknown): LoadError {
  return new LoadError({
    code: 'FILE_UNREADABLE',
    message,
    fix: 'Check the path or address, and that it may be read.',
    cause,
  });
}

/** Texts may be megabytes (a data URL, the file itself by mistake): they have no place in a message. */
function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}
