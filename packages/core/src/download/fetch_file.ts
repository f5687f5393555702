import { AbortedError, LoadError, throwIfAborted, untilAborted } from '../errors/index.ts';
import type { ByteSource, GrowingFile } from '../host.ts';
import { readHeader } from '../weights/safetensors.ts';
import { partialOf, type KeptFile, type PartialFile } from './entry.ts';
import { Interrupted, isEncoded, rangeOf, refusal, type Reply } from './http.ts';
import type { Session } from './session.ts';
import { Tries, Watch } from './tries.ts';

/** What is known of a file before it comes. */
export interface Expected {
  readonly sha256: string | null;
  readonly size: number | null;
}

/** Bytes read at once when what an earlier run left is hashed again. */
const REHASH_BYTES = 4 << 20;
/** Wrong bytes from the start, so often, are not an accident of the way. */
const MOST_CORRUPT = 2;
/** A server that gives other ranges than it is asked for is not asked for ranges any more. */
const MOST_WRONG_RANGES = 2;

/**
 * Fetches a file into the store, on from where an earlier try ended, and gives it its final name once it is checked: by its
 * SHA-256 where it is known, else by its length and its own structure.
 *
 * @throws {LoadError} `DOWNLOAD_FAILED` when the tries are used up, `DOWNLOAD_CORRUPT`, `DOWNLOAD_DENIED`,
 *   `MODEL_FILE_MISSING`, `CACHE_FULL`, `CACHE_UNAVAILABLE`; {@link AbortedError}. What came is kept for the next try.
 */
export async function fetchFile(session: Session, file: string, expected: Expected): Promise<KeptFile> {
  const { store, folder } = session.entry;
  const partial = partialOf(file);
  const tries = new Tries(session.limits, session.entry.name);
  for (let corrupt = 0; ;) {
    const { size, sha256, begun, state } = await transfer(session, file, expected, tries);
    const wrong = await faultOf(session, file, size, sha256, state.sha256);
    if (wrong === null) {
      const stored = `${sha256.slice(0, 12)}.${file}`;
      await store.rename(folder, partial, stored);
      const kept = { stored, size, sha256, etag: state.etag, commit: session.commit };
      await session.keep(file, kept);
      return kept;
    }
    await store.delete(folder, partial);
    session.meter.found(-size);
    // What an earlier run left may be of another version: that is no fault of this one.
    if (begun === 0 && ++corrupt === MOST_CORRUPT) throw corrupted(session.entry.name, file, wrong);
    await tries.again(new Interrupted(`${file} came damaged: ${wrong}`), false, session.signal);
  }
}

interface Transferred {
  readonly size: number;
  readonly sha256: string;
  /** Bytes of it that were there before. */
  readonly begun: number;
  readonly state: PartialFile;
}

/** One file under way. */
interface Transfer {
  readonly session: Session;
  readonly file: string;
  readonly expected: Expected;
  readonly out: GrowingFile;
  /** SHA-256 of what `out` holds. */
  readonly hash: { update(bytes: Uint8Array): void; reset(): void };
  state: PartialFile;
  begun: number;
  wrongRanges: number;
}

/** Fetches until the end of the file, whatever comes between; closes the partial file, whatever happens. */
async function transfer(
  session: Session,
  file: string,
  expected: Expected,
  tries: Tries,
): Promise<Transferred> {
  const { signal, entry } = session;
  const { store, folder } = entry;
  const { createSHA256 } = await untilAborted(import('./sha256.ts'), signal);
  const hasher = (await createSHA256()).init();
  const partial = partialOf(file);
  const fresh: PartialFile = {
    etag: null,
    size: expected.size,
    sha256: expected.sha256,
    commit: session.commit,
  };
  const known = session.partial(file);
  const goesOn = known !== undefined && canResume(known, expected) && !isOther(known, fresh);
  if (goesOn) await rehash(session, partial, (bytes) => hasher.update(bytes));
  else await store.delete(folder, partial);

  const out = await store.append(folder, partial);
  try {
    const job: Transfer = {
      session,
      file,
      expected,
      out,
      hash: { update: (bytes) => void hasher.update(bytes), reset: () => void hasher.init() },
      state: goesOn ? known : fresh,
      begun: out.size,
      wrongRanges: 0,
    };
    session.meter.found(out.size);
    for (;;) {
      const before = out.size;
      try {
        await attempt(job);
        return { size: out.size, sha256: hasher.digest(), begun: job.begun, state: job.state };
      } catch (error) {
        if (!(error instanceof Interrupted)) throw error;
        await tries.again(error, out.size > before, signal);
      }
    }
  } catch (error) {
    // The next run counts it anew.
    session.meter.found(-out.size);
    throw error;
  } finally {
    await out.close();
  }
}

/**
 * Whether bytes from two replies can be known to be of one file: by the hash of the whole, by the commit, or by the ETag that
 * both replies carry. That is compared here, and not left to `If-Range`, which takes no weak ETags and costs browsers
 * another request.
 */
function canResume(state: PartialFile, expected: Expected): boolean {
  return expected.sha256 !== null || state.sha256 !== null || state.commit !== null || state.etag !== null;
}

function isOther(known: PartialFile, wanted: PartialFile): boolean {
  if (wanted.sha256 !== null) return known.sha256 !== wanted.sha256;
  return known.sha256 === null && known.etag === null && known.commit !== wanted.commit;
}

async function rehash(session: Session, partial: string, update: (bytes: Uint8Array) => void): Promise<void> {
  const { store, folder } = session.entry;
  // Noted before its first byte came, it may not be there.
  if (!(await store.list(folder)).has(partial)) return;
  const source = await store.open(folder, partial);
  try {
    for (let at = 0; at < source.size; at += REHASH_BYTES) {
      update(await source.read(at, Math.min(at + REHASH_BYTES, source.size), session.signal));
    }
  } finally {
    await source.close();
  }
}

/** One request and its bytes. It returns at the end of the file; else it throws, {@link Interrupted} for another try. */
async function attempt(job: Transfer): Promise<void> {
  const { session, file, expected, out } = job;
  if (out.size > 0 && !canResume(job.state, expected)) await restart(job);
  const begin = out.size;
  const watch = new Watch(session.limits.stallTimeout, session.signal, file);
  try {
    const reply = await watch.during(
      session.request(file, {
        method: 'GET',
        commit: session.commit,
        begin: begin === 0 ? undefined : begin,
        signal: watch.signal,
      }),
    );
    const { response } = reply;
    try {
      const end = await accept(job, reply, begin);
      if (end === 'whole') return;
      await receive(job, response.body, end.limit, watch);
      if (end.total === null || out.size >= end.total) return;
      throw new Interrupted(`${file} ended at byte ${out.size} of ${end.total}`);
    } finally {
      // Where it was read to the end this does nothing.
      response.body?.cancel().catch(() => undefined);
    }
  } finally {
    watch.stop();
  }
}

/** Decides what a reply's bytes are: `limit` is the byte that they end before, `total` the file's length. */
async function accept(
  job: Transfer,
  reply: Reply,
  begin: number,
): Promise<'whole' | { limit: number | null; total: number | null }> {
  const { response } = reply;
  if (response.status === 206 && begin > 0) return acceptRange(job, reply, begin);
  if (response.status === 416 && begin > 0) {
    const total = rangeOf(response.headers)?.total ?? null;
    // A hash decides by itself; without one the length must fit, and the file be the same.
    if (job.state.sha256 !== null || (total === begin && !isChanged(job, reply))) return 'whole';
    await restart(job);
    throw new Interrupted(`${job.file} has no byte ${begin}`);
  }
  if (response.status !== 200) throw refusal(response, job.file, job.session.entry.name);
  // The whole file: the range was ignored, or the file is another one now.
  if (begin > 0) await restart(job);
  const encoded = isEncoded(response.headers);
  job.state = {
    etag: encoded ? null : reply.etag,
    size: encoded ? null : reply.size,
    sha256: job.expected.sha256 ?? reply.sha256,
    commit: encoded ? null : job.session.commit,
  };
  await job.session.begin(job.file, job.state);
  return { limit: job.state.size, total: job.state.size };
}

async function acceptRange(
  job: Transfer,
  reply: Reply,
  begin: number,
): Promise<{ limit: number | null; total: number | null }> {
  const { headers } = reply.response;
  const range = rangeOf(headers);
  const { state, file } = job;
  if (isEncoded(headers) || isChanged(job, reply)) {
    await restart(job);
    throw new Interrupted(`${file} changed on the server`);
  }
  // Another origin may keep the header from a page: then the length must be just what is missing, and the hash decides.
  const left = range ? null : Number(headers.get('content-length') ?? -1);
  const hidden = left !== null && state.sha256 !== null && state.size !== null && left === state.size - begin;
  if (hidden) return { limit: state.size, total: state.size };
  const total = range?.total ?? state.size;
  if (!range || range.begin !== begin || range.last < begin || (total !== null && range.last >= total)) {
    if (++job.wrongRanges >= MOST_WRONG_RANGES) await restart(job);
    throw new Interrupted(`the server gave another range of ${file} than it was asked for`);
  }
  return { limit: range.last + 1, total };
}

/** Whether a reply to a range is of another file than what is here. Copies of one file may have several ETags. */
function isChanged({ state, session }: Transfer, reply: Reply): boolean {
  const total = rangeOf(reply.response.headers)?.total ?? null;
  if (total !== null && state.size !== null && total !== state.size) return true;
  if (state.sha256 !== null) return false;
  if (reply.etag !== null && state.etag !== null) return reply.etag !== state.etag;
  return state.commit === null || state.commit !== session.commit;
}

async function receive(
  job: Transfer,
  body: ReadableStream<Uint8Array> | null,
  limit: number | null,
  watch: Watch,
): Promise<void> {
  const { session, file, out, hash } = job;
  const reader = body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const { done, value } = await watch.during(
        reader.read().catch((cause: unknown) => {
          throw new Interrupted(`the connection broke at byte ${out.size} of ${file}`, { cause });
        }),
      );
      if (done) return;
      if (limit !== null && out.size + value.length > limit) {
        await restart(job);
        throw new Interrupted(`${file} has more bytes than the server said`);
      }
      hash.update(value);
      await out.write(value);
      session.meter.received(value.length);
      throwIfAborted(session.signal);
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

async function restart(job: Transfer): Promise<void> {
  job.session.meter.found(-job.out.size);
  await job.out.reset();
  job.hash.reset();
  job.begun = 0;
  job.wrongRanges = 0;
}

/** What is wrong with a file that ended, or `null`. */
async function faultOf(
  { entry: { store, folder }, signal }: Session,
  file: string,
  size: number,
  sha256: string,
  wanted: string | null,
): Promise<string | null> {
  const source = await store.open(folder, partialOf(file));
  try {
    if (source.size !== size) return `${source.size} of its ${size} bytes were kept`;
    if (wanted === null) return await structuralFault(source, file, signal);
    return sha256 === wanted ? null : `its SHA-256 is ${sha256} and not ${wanted}`;
  } finally {
    await source.close();
  }
}

/** Of files that nobody gives a hash of: a cut one, or an error's page, must not be kept. */
async function structuralFault(
  source: ByteSource,
  file: string,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    if (file.endsWith('.safetensors')) await readHeader(source, file, signal);
    else if (file.endsWith('.json')) {
      JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await source.read(0, source.size, signal)));
    }
    return null;
  } catch (error) {
    if (error instanceof AbortedError) throw error;
    if (error instanceof LoadError && error.code === 'WEIGHTS_HEADER_INVALID') return error.message;
    if (error instanceof SyntaxError || error instanceof TypeError) return 'it is not JSON';
    throw error;
  }
}

function corrupted(name: string, file: string, wrong: string): LoadError {
  return new LoadError({
    code: 'DOWNLOAD_CORRUPT',
    message: `${file} of ${name} came damaged twice: ${wrong.replace(/\.$/, '')}.`,
    fix: 'Try again later; if it stays, the files on the server do not belong together.',
  });
}
