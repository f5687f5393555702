import { LlavaSpError, LoadError, throwIfAborted } from '../errors/index.ts';
import type { Host, ModelFiles, ModelStore } from '../host.ts';
import { openWeights, parseIndex } from '../weights/store.ts';
import { Entry, isMissing, partialOf, type CacheRecord, type KeptFile } from './entry.ts';
import { fetchFile, type Expected } from './fetch_file.ts';
import { createRequest } from './http.ts';
import { limitsOf, type DownloadOptions } from './options.ts';
import { Meter, type DownloadProgress } from './progress.ts';
import { Session } from './session.ts';
import type { Remote } from './remote.ts';

/** What a download tells while it works. */
export interface DownloadEvents {
  onProgress?: (progress: DownloadProgress) => void;
  /** Hears why a model of the cache was taken though it could not be compared with the server's. */
  onStale?: (message: string) => void;
  /** Hears why a model is not kept in the cache. */
  onUncached?: (message: string) => void;
  signal?: AbortSignal;
}

type Place = Pick<Host, 'store' | 'environment' | 'fetch'>;

/** What every model folder has: they are small, and the first of them says whether there is a model at all. */
const REQUIRED = ['config.json', 'preprocessor_config.json', 'tokenizer.json', 'tokenizer_config.json'];
/** Where newer folders have the chat template, when `tokenizer_config.json` has none. */
const TEMPLATES = ['chat_template.jinja', 'chat_template.json'];
const INDEX = 'model.safetensors.index.json';
const SINGLE = 'model.safetensors';

/**
 * The folder of a remote model: from the cache when it is whole there, else downloaded into it first. Files are fetched side
 * by side, go on where an earlier run ended, and count as there only when they are checked: by the SHA-256 of the index or
 * of the hub, else by length and structure.
 *
 * @throws {LoadError} `MODEL_NOT_FOUND`, and as {@link fetchFile}; ArgumentError `OPTION_INVALID`; AbortedError at once.
 *   What has come stays, and the next call goes on with it.
 */
export async function downloadModel(
  place: Place,
  remote: Remote,
  options: DownloadOptions & DownloadEvents = {},
): Promise<ModelFiles> {
  const entry = new Entry(storeOf(place), remote.name);
  const ready = await entry.complete();
  if (ready && !options.revalidate) return entry.files(ready);
  return withSession(place, remote, entry, options, async (session) => {
    // Another process may have fetched it while this one waited.
    const whole = await entry.complete();
    if (whole && !options.revalidate) return entry.files(whole);
    try {
      return entry.files(await downloadAll(session, remote, whole));
    } catch (error) {
      if (!whole || !(error instanceof LlavaSpError) || error.code !== 'DOWNLOAD_FAILED') throw error;
      options.onStale?.(`The model of the cache was taken: ${error.message}`);
      return entry.files(whole);
    }
  });
}

/**
 * A remote folder whose files come when they are asked for, each whole into the cache: for folders of any kind, as published
 * checkpoints are. `has` asks the server.
 */
export function remoteFiles(
  place: Place,
  remote: Remote,
  options: DownloadOptions & DownloadEvents = {},
): ModelFiles {
  const entry = new Entry(storeOf(place), remote.name);
  const known = new Map<string, boolean>();
  const isThere = async (file: string): Promise<boolean> => {
    const ready = await entry.complete();
    if (ready && Object.hasOwn(ready.files, file)) return true;
    return withSession(place, remote, entry, options, async (session) => {
      const reply = await session.head(file);
      return reply === 'unknown' ? fetchAny(session, file) : reply !== null;
    });
  };
  return {
    location: remote.name,
    async has(file) {
      const there = known.get(file) ?? (await isThere(file));
      known.set(file, there);
      return there;
    },
    async open(file) {
      let files = await entry.complete();
      if (!files || !Object.hasOwn(files.files, file)) {
        files = await withSession(place, remote, entry, options, async (session) => {
          session.meter.start();
          await fetchOne(session, file);
          return session.record;
        });
      }
      return entry.files(files).open(file);
    },
  };
}

function storeOf({ store }: Place): ModelStore {
  if (store) return store;
  throw new LoadError({
    code: 'CACHE_UNAVAILABLE',
    message: 'This host has no store for downloaded models.',
    fix: 'Pass a folder, or the files themselves.',
  });
}

/** Holds the lock of the model's folder while `work` downloads. */
async function withSession<T>(
  { environment, fetch }: Place,
  remote: Remote,
  entry: Entry,
  options: DownloadOptions & DownloadEvents,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { signal = new AbortController().signal, onProgress } = options;
  const limits = limitsOf(options);
  const token =
    options.token ?? (remote.environmentToken ? environment?.('HF_TOKEN') || undefined : undefined);
  const request = createRequest(remote, token, fetch);
  throwIfAborted(signal);
  const release = await entry.store.lock(entry.folder, { signal });
  const meter = new Meter((progress) => onProgress?.(progress));
  try {
    const { commit } = remote;
    const record = await entry.pending();
    const state = { entry, ask: request, limits, meter, record, commit, saving: Promise.resolve() };
    return await work(new Session(state, signal));
  } finally {
    meter.stop();
    await release?.();
  }
}

async function downloadAll(
  session: Session,
  remote: Remote,
  whole: CacheRecord | null,
): Promise<CacheRecord> {
  const { entry, meter } = session;
  const [first, ...others] = REQUIRED;
  try {
    // Alone: it tells whether there is a model, and the commit that all the others are taken of.
    await fetchOne(session, first);
  } catch (error) {
    throw isMissing(error) ? notFound(remote, error) : error;
  }
  let indexed = false;
  await inParallel(session, [...others, INDEX], async (part, file) => {
    // All else is checked against the index: after a failure it comes anew, for it may be what was wrong.
    if (file === INDEX && whole === null) await session.forget(file);
    if (others.includes(file)) await fetchOne(part, file);
    else indexed = await fetchAny(part, file);
  });
  const { shards, hashes, size } = indexed ? await readIndex(session) : SINGLE_SHARD;
  await agree(session, REQUIRED, hashes);
  const template = await fetchTemplate(session);
  await agree(session, template, hashes);
  meter.start();
  const missing = await planShards(session, shards, hashes, size);
  await checkSpace(session, missing);
  void entry.store.persist?.().catch(() => false);
  await inParallel(session, [...missing], (part, [file, expected]) => fetchFile(part, file, expected));
  meter.end();

  const names = [...REQUIRED, ...template, ...(indexed ? [INDEX] : []), ...shards];
  const files = Object.fromEntries(
    names.map((file) => {
      const kept = session.kept(file);
      if (!kept) throw new Error(`${file} was fetched and is not known`);
      return [file, kept];
    }),
  );
  const record = { version: 1, name: entry.name, files, partials: {} } as const;
  // An index that does not fit its shards must not count as a model.
  await (await openWeights(entry.files(record), session.signal)).close();
  await entry.commit(record);
  return record;
}

/** Fetches those small files again that came otherwise than the index says. */
async function agree(session: Session, files: readonly string[], hashes: Shards['hashes']): Promise<void> {
  const wrong = files.filter((file) => hashes.has(file) && session.kept(file)?.sha256 !== hashes.get(file));
  await inParallel(session, wrong, (part, file) =>
    fetchFile(part, file, { sha256: hashes.get(file) ?? null, size: null }),
  );
}

/** The name of the chat template's own file, where there is one. */
async function fetchTemplate(session: Session): Promise<readonly string[]> {
  const bytes = await readKept(session, 'tokenizer_config.json');
  if (asRecord(JSON.parse(new TextDecoder().decode(bytes))).chat_template) return [];
  for (const file of TEMPLATES) if (await fetchAny(session, file)) return [file];
  return [];
}

async function readKept(session: Session, file: string): Promise<Uint8Array> {
  const source = await session.entry.files(session.record).open(file);
  try {
    return await source.read(0, source.size, session.signal);
  } finally {
    await source.close();
  }
}

/** A file by name alone, unless the one that is here is the server's. */
async function fetchOne(session: Session, file: string): Promise<void> {
  const kept = session.kept(file);
  if (kept && (session.isPinned(kept) || session.current(file, await session.head(file)))) return;
  await fetchFile(session, file, { sha256: null, size: null });
}

/** As {@link fetchOne}; `false` where there is no such file. */
async function fetchAny(session: Session, file: string): Promise<boolean> {
  try {
    await fetchOne(session, file);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** What an index says. */
interface Shards {
  readonly shards: readonly string[];
  /** SHA-256 by file: of the shards, and of the small files where the index has them. */
  readonly hashes: ReadonlyMap<string, string>;
  /** Of all tensors, in bytes. */
  readonly size: number | null;
}

const SINGLE_SHARD: Shards = { shards: [SINGLE], hashes: new Map(), size: null };

async function readIndex(session: Session): Promise<Shards> {
  const bytes = await readKept(session, INDEX);
  const shards = [...new Set(parseIndex(bytes).values())];
  const { metadata } = JSON.parse(new TextDecoder().decode(bytes)) as { metadata?: unknown };
  const { total_size: size, sha256 } = asRecord(metadata);
  const hashes = Object.entries(asRecord(sha256)).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string' && /^[0-9a-f]{64}$/i.test(entry[1]),
  );
  return {
    shards,
    hashes: new Map(hashes.map(([file, hash]) => [file, hash.toLowerCase()])),
    size: typeof size === 'number' && Number.isSafeInteger(size) && size > 0 ? size : null,
  };
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** What of the shards is still to be fetched. The meter hears of all. */
async function planShards(
  session: Session,
  shards: Shards['shards'],
  hashes: Shards['hashes'],
  tensorBytes: number | null,
): Promise<Map<string, Expected>> {
  const missing = new Map<string, Expected>();
  let known = 0;
  await inParallel(session, shards, async (part, file) => {
    const sha256 = hashes.get(file) ?? null;
    const keep = ({ size }: KeptFile): void => {
      part.meter.expect(size);
      part.meter.found(size);
      known += size;
    };
    const kept = part.kept(file);
    const fits = kept && (sha256 === null ? part.isPinned(kept) : kept.sha256 === sha256);
    if (fits) return keep(kept);
    const reply = await part.head(file);
    const same = sha256 === null ? part.current(file, reply) : null;
    if (same) return keep(same);
    if (reply === null) throw noWeights(session.entry.name, file);
    const said = reply === 'unknown' ? { sha256: null, size: null } : reply;
    missing.set(file, { sha256: sha256 ?? said.sha256, size: said.size });
    known += said.size ?? 0;
    part.meter.expect(said.size ?? 0);
  });
  // Headers and padding aside, the index says what the server would not.
  const unknown = [...missing.values()].some(({ size }) => size === null);
  if (unknown && tensorBytes !== null) session.meter.expect(Math.max(tensorBytes - known, 0));
  return missing;
}

/** @throws {LoadError} `CACHE_FULL` before the first byte of what does not fit. */
async function checkSpace(session: Session, missing: ReadonlyMap<string, Expected>): Promise<void> {
  const { store, folder, name } = session.entry;
  const sizes = await store.list(folder);
  let needed = 0;
  for (const [file, { size }] of missing) {
    if (size !== null) needed += Math.max(size - (sizes.get(partialOf(file)) ?? 0), 0);
  }
  const available = needed > 0 ? await store.available() : null;
  if (available === null || available >= needed) return;
  throw new LoadError({
    code: 'CACHE_FULL',
    message: `${name} needs ${needed} more bytes in ${store.location}, which has room for ${available}.`,
    fix: 'Make room, or delete models that are not needed any more: cache.list() and cache.delete(name).',
  });
}

/** Works on so many files at a time as the limits say; the first failure ends the others. */
async function inParallel<T extends string | readonly unknown[]>(
  session: Session,
  items: readonly T[],
  work: (session: Session, item: T) => Promise<unknown>,
): Promise<void> {
  const queue = [...items];
  const failing = new AbortController();
  const outer = session.signal;
  const part = session.until(AbortSignal.any([outer, failing.signal]));
  const failures: Error[] = [];
  const next = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      try {
        await work(part, item);
      } catch (error) {
        failures.push(error instanceof Error ? error : new Error(String(error)));
        failing.abort();
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: session.limits.parallel }, next));
  throwIfAborted(outer);
  if (failures.length > 0) throw failures[0];
}

function notFound(remote: Remote, cause: unknown): LoadError {
  return new LoadError({
    code: 'MODEL_NOT_FOUND',
    message: `There is no model at ${remote.name}: it has no config.json.`,
    fix: 'Check the address, or the id and revision.',
    cause,
  });
}

function noWeights(name: string, file: string): LoadError {
  return new LoadError({
    code: 'MODEL_FILE_MISSING',
    message:
      file === SINGLE
        ? `${name} has neither ${SINGLE} nor ${INDEX}.`
        : `${name} lacks ${file}, which ${INDEX} lists.`,
    fix: 'Check that the folder is that of a converted model, and whole.',
  });
}
