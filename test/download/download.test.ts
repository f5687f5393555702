/** Downloads from a server that does as it should, and from one that does not, one thing at a time. */
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createCache } from '../../packages/core/src/download/cache.ts';
import { folderOf } from '../../packages/core/src/download/entry.ts';
import { cacheError } from '../../packages/core/src/download/folder_store.ts';
import { downloadModel, remoteFiles, type DownloadEvents } from '../../packages/core/src/download/model.ts';
import type { DownloadOptions } from '../../packages/core/src/download/options.ts';
import type { DownloadProgress } from '../../packages/core/src/download/progress.ts';
import { parseRemote } from '../../packages/core/src/download/remote.ts';
import type { HubSource } from '../../packages/core/src/download/source.ts';
import { ArgumentError, LlavaSpError } from '../../packages/core/src/errors/index.ts';
import type { ModelFiles, ModelStore } from '../../packages/core/src/host.ts';
import { nodeFetch } from '../../packages/node/src/fetch.ts';
import { dump, holds, makeFolder, sha256, storeIn, temporary, writeFolder, type Folder } from './folder.ts';
import { startServer, type Fault, type FaultServer } from './server.ts';

vi.mock('@llava-sp/core', () => import('./core.ts'));

const SHARD = 'model-00001-of-00003.safetensors';
const SECOND = 'model-00002-of-00003.safetensors';
const INDEX = 'model.safetensors.index.json';

let scratch: Awaited<ReturnType<typeof temporary>>;
let server: FaultServer;
let folder: Folder;
let served: string;
let kept: string;

beforeEach(async () => {
  scratch = await temporary();
  served = join(scratch.path, 'served');
  kept = join(scratch.path, 'kept');
  folder = makeFolder(1);
  await writeFolder(join(served, 'model'), folder);
  server = await startServer(served);
});

afterEach(async () => {
  await server.close();
  await scratch.remove();
});

type Options = DownloadOptions &
  DownloadEvents & { store?: ModelStore; environment?: Record<string, string> };

/** As a process does that starts now: nothing is remembered but what lies in the folder. */
function download(
  options: Options = {},
  source: string | HubSource = `${server.origin}/model`,
): Promise<ModelFiles> {
  const { store = storeIn(kept), environment = {}, ...rest } = options;
  const place = { store, fetch: nodeFetch, environment: (name: string) => environment[name] };
  return downloadModel(place, parseRemote(source, place.environment), {
    ...rest,
    download: { backoff: 1, stallTimeout: 200, retries: 3, ...rest.download },
  });
}

/** The first answers for a file go wrong; those after them do not. */
function faults(file: string, ...list: Fault[]): void {
  server.fault = ({ method, path }) =>
    method === 'GET' && path.endsWith(`/${file}`) ? (list.shift() ?? null) : null;
}

const noRoom = () => cacheError('written', 'full', null);

const gets = (file: string) =>
  server.asked.filter(({ method, path }) => method === 'GET' && path.endsWith(`/${file}`));

/** The code of what it fails with. */
async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof LlavaSpError)) throw new Error('it did not fail as it should', { cause: error });
  return error.code;
}

describe('a server that does as it should', () => {
  test('the folder comes whole, and the second time without a request', async () => {
    expect(await holds(await download(), folder)).toBe(true);
    const before = server.asked.length;
    expect(before).toBeGreaterThan(7);
    expect(await holds(await download(), folder)).toBe(true);
    expect(server.asked).toHaveLength(before);
  });

  test('once it is here it needs no server', async () => {
    await download();
    await server.close();
    expect(await holds(await download(), folder)).toBe(true);
  });

  test('a single file of weights, without an index', async () => {
    const small = Object.entries(folder).filter(
      ([name]) => name.endsWith('r.json') || name.endsWith('config.json'),
    );
    const single = { ...Object.fromEntries(small), 'model.safetensors': folder[SHARD] };
    await writeFolder(join(served, 'single'), single);
    expect(await holds(await download({}, `${server.origin}/single`), single)).toBe(true);
  });

  test.each(['chat_template.jinja', 'chat_template.json'])(
    '%s comes where the tokenizer has none',
    async (name) => {
      const beside = { [name]: new TextEncoder().encode('{}') };
      const bare = { ...makeFolder(2, { template: false }), ...beside };
      await writeFolder(join(served, 'bare'), bare);
      expect(await holds(await download({}, `${server.origin}/bare`), bare)).toBe(true);
      await writeFolder(join(served, 'model'), beside);
      const files = await download();
      expect(await holds(files, folder)).toBe(true);
      expect(await files.has(name)).toBe(false);
    },
  );

  test('files come side by side, no more than asked for', async () => {
    await writeFolder(
      join(served, 'many'),
      makeFolder(2, { shards: Array.from({ length: 9 }, () => 20_000) }),
    );
    let [open, most] = [0, 0];
    server.headers = (_, response) => {
      most = Math.max(most, ++open);
      response.on('close', () => open--);
    };
    await download({ download: { parallel: 3 } }, `${server.origin}/many`);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(3);
  });

  test('progress tells bytes, rate and time left, and ends with all', async () => {
    faults(SHARD, { kind: 'stall', at: 0.5 });
    const seen: DownloadProgress[] = [];
    await download({ onProgress: (progress) => seen.push(progress), download: { stallTimeout: 400 } });
    const total = Object.entries(folder).reduce(
      (sum, [name, { length }]) => sum + (name.endsWith('s') ? length : 0),
      0,
    );
    expect(seen.length).toBeGreaterThan(1);
    expect(seen.at(-1)).toMatchObject({ loaded: total, total, secondsLeft: 0 });
    const between = seen.find(({ loaded, rate }) => loaded < total && rate > 0);
    expect(between?.secondsLeft).toBeCloseTo((total - (between?.loaded ?? 0)) / (between?.rate ?? 0), 3);
  });

  test.each([
    ['there is nothing', 'nothing', 'MODEL_NOT_FOUND'],
    ['a shard is missing', 'model', 'MODEL_FILE_MISSING'],
  ])('%s: a clear error', async (_, name, code) => {
    await rm(join(served, 'model', SECOND));
    expect(await codeOf(download({}, `${server.origin}/${name}`))).toBe(code);
  });
});

describe('one thing goes wrong', () => {
  test.each<[string, Fault]>([
    ['the connection ends', { kind: 'drop', at: 0.5 }],
    ['nothing more comes', { kind: 'stall', at: 0.5 }],
    ['the server is busy', { kind: 'status', status: 503 }],
    ['the length says more than comes', { kind: 'length', by: 500 }],
  ])('%s: the next try brings the rest', async (_, fault) => {
    faults(SHARD, fault);
    expect(await holds(await download(), folder)).toBe(true);
    expect(gets(SHARD).length).toBeGreaterThanOrEqual(2);
    expect(gets(SHARD).length).toBeLessThanOrEqual(3);
  });

  test('bytes that came are not asked for again', async () => {
    faults(SHARD, { kind: 'stall', at: 0.5 });
    await download();
    expect(gets(SHARD).map(({ range }) => range)).toEqual([
      undefined,
      `bytes=${Math.floor(folder[SHARD].length / 2)}-`,
    ]);
  });

  test('a server without hashes goes on by the ETag alone', async () => {
    folder = makeFolder(1, { hashes: false });
    await writeFolder(join(served, 'model'), folder);
    faults(SHARD, { kind: 'stall', at: 0.5 });
    expect(await holds(await download(), folder)).toBe(true);
    expect(gets(SHARD).map(({ range }) => range?.slice(0, 7))).toEqual([undefined, 'bytes=2']);
  });

  test('without a hash and a validator it starts anew', async () => {
    folder = makeFolder(1, { hashes: false });
    await writeFolder(join(served, 'model'), folder);
    server.fault = ({ method, path }) => {
      const first = method === 'GET' && path.endsWith(SHARD) && gets(SHARD).length === 1;
      return first ? { kind: 'drop', at: 0.5, validator: false } : { kind: 'no-validator' };
    };
    expect(await holds(await download(), folder)).toBe(true);
    expect(gets(SHARD).every(({ range }) => range === undefined)).toBe(true);
  });

  test.each<[string, Fault]>([
    ['from another byte than was asked for', { kind: 'range', by: -100 }],
    ['later than was asked for', { kind: 'range', by: 100 }],
    ['that holds the whole file', { kind: 'ignore-range' }],
    ['with wrong bytes', { kind: 'bytes', at: 0.5 }],
  ])('a range %s is refused or found out, and the file is right', async (_, fault) => {
    faults(SHARD, { kind: 'stall', at: 0.5 }, fault);
    expect(await holds(await download(), folder)).toBe(true);
  });

  test('without a hash, too, a range from another byte is not taken', async () => {
    folder = makeFolder(1, { hashes: false });
    await writeFolder(join(served, 'model'), folder);
    faults(SHARD, { kind: 'stall', at: 0.5 }, { kind: 'range', by: 100 });
    expect(await holds(await download(), folder)).toBe(true);
  });

  test('the file changes between two ranges: all is of the new version', async () => {
    const other = makeFolder(2);
    let changed = false;
    server.fault = ({ method, path, range }) => {
      if (method !== 'GET' || !path.endsWith(SHARD)) return null;
      if (range === undefined) return changed ? null : { kind: 'stall', at: 0.5 };
      return null;
    };
    expect(await codeOf(download({ download: { retries: 0 } }))).toBe('DOWNLOAD_FAILED');
    changed = true;
    await writeFolder(join(served, 'model'), other);
    expect(await holds(await download(), other)).toBe(true);
  });

  test('compressed on the way: what is kept is the file', async () => {
    server.fault = () => ({ kind: 'gzip' });
    expect(await holds(await download(), folder)).toBe(true);
  });

  test('Retry-After is heard', async () => {
    faults(SHARD, { kind: 'status', status: 429, retryAfter: '1' });
    const began = performance.now();
    await download();
    expect(performance.now() - began).toBeGreaterThan(990);
  });

  test('wrong bytes twice are an error, and never stay', async () => {
    faults(SHARD, { kind: 'bytes', at: 0.5 }, { kind: 'bytes', at: 0.2 });
    expect(await codeOf(download())).toBe('DOWNLOAD_CORRUPT');
    for (const [name, bytes] of await dump(kept)) {
      if (name.endsWith('.safetensors')) expect(name.startsWith(sha256(bytes).slice(0, 12))).toBe(true);
    }
    expect([...(await dump(kept)).keys()].filter((name) => name.includes(SHARD))).toEqual([]);
    server.fault = () => null;
    expect(await holds(await download(), folder)).toBe(true);
  });

  test('a damaged tokenizer is found out by the index', async () => {
    faults('tokenizer.json', { kind: 'bytes', at: 0.5 });
    expect(await holds(await download(), folder)).toBe(true);
    expect(gets('tokenizer.json')).toHaveLength(2);
  });

  test('an index that names what is not there does not stay', async () => {
    const wrong = new TextDecoder().decode(folder[INDEX]).replace('"tensor 0"', '"tensor 9"');
    await writeFolder(join(served, 'model'), { [INDEX]: new TextEncoder().encode(wrong) });
    expect(await codeOf(download())).toBe('WEIGHTS_INDEX_INVALID');
    await writeFolder(join(served, 'model'), folder);
    expect(await holds(await download(), folder)).toBe(true);
  });

  test('tries end: the server stays away', async () => {
    await server.close();
    const error = await download().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      fix: expect.stringContaining('goes on') as string,
    });
  });
});

describe('abort', () => {
  test.each<[string, Fault]>([
    ['while nothing comes', { kind: 'stall', at: 0.5 }],
    ['before the first byte', { kind: 'stall', at: 0 }],
    ['in a back-off', { kind: 'status', status: 503, retryAfter: '60' }],
  ])('%s it ends at once, and the next run goes on', async (_, fault) => {
    server.fault = ({ method, path }) => (method === 'GET' && path.endsWith(SHARD) ? fault : null);
    const controller = new AbortController();
    const work = codeOf(download({ signal: controller.signal, download: { stallTimeout: 60_000 } }));
    await vi.waitFor(() => expect(gets(SHARD)).toHaveLength(1), { timeout: 20_000 });
    await new Promise((done) => setTimeout(done, 100));
    const began = performance.now();
    controller.abort();
    expect(await work).toBe('ABORTED');
    expect(performance.now() - began).toBeLessThan(500);
    server.fault = () => null;
    expect(await holds(await download(), folder)).toBe(true);
    expect(gets(SHARD)).toHaveLength(2);
  });

  test('before it begins nothing is asked', async () => {
    expect(await codeOf(download({ signal: AbortSignal.abort() }))).toBe('ABORTED');
    expect(server.asked).toEqual([]);
  });

  test('while another process downloads', async () => {
    const store = storeIn(kept);
    const release = await store.lock(folderOf(`${server.origin}/model/`));
    const controller = new AbortController();
    const work = codeOf(download({ signal: controller.signal }));
    setTimeout(() => controller.abort(), 150);
    expect(await work).toBe('ABORTED');
    await release?.();
  });
});

describe('restarts', () => {
  test('bytes of a run before are hashed again, and not taken when they were changed', async () => {
    server.fault = ({ method, path }) =>
      method === 'GET' && path.endsWith(SHARD) ? { kind: 'stall', at: 0.5 } : null;
    await codeOf(download({ download: { retries: 0 } }));
    server.fault = () => null;
    const partial = (await readdir(kept, { recursive: true })).find((name) =>
      name.endsWith(`${SHARD}.partial`),
    );
    await writeFile(join(kept, partial ?? ''), new Uint8Array(20_000));
    expect(await holds(await download(), folder)).toBe(true);
    // From the byte where the changed ones ended, and once the hash had told, anew.
    expect(gets(SHARD).map(({ range }) => range)).toEqual([undefined, 'bytes=20000-', undefined]);
  });

  test('whole files are not fetched again', async () => {
    faults(SECOND, { kind: 'status', status: 500 });
    await codeOf(download({ download: { retries: 0, parallel: 1 } }));
    expect(gets(SHARD)).toHaveLength(1);
    server.fault = () => null;
    expect(await holds(await download(), folder)).toBe(true);
    expect(gets(SHARD)).toHaveLength(1);
    expect(gets('tokenizer.json')).toHaveLength(1);
  });

  test('a file that went from the cache comes again, alone', async () => {
    await download();
    const [name] = [...(await dump(kept)).keys()].filter((file) => file.endsWith(SHARD));
    const path = (await readdir(kept, { recursive: true })).find((file) => file.endsWith(name));
    await rm(join(kept, path ?? ''));
    expect(await holds(await download(), folder)).toBe(true);
    expect(gets(SHARD)).toHaveLength(2);
    expect(gets(SECOND)).toHaveLength(1);
  });

  test('records that are no records are as none', async () => {
    await download();
    const records = (await readdir(kept, { recursive: true })).filter((name) =>
      name.endsWith('manifest.json'),
    );
    await writeFile(
      join(kept, records[0]),
      '{"version":1,"name":"x","files":{"config.json":{"stored":"../../x"}}}',
    );
    expect(await holds(await download(), folder)).toBe(true);
  });

  test('two at once: one downloads, the other waits and has it', async () => {
    const both = await Promise.all([download(), download({ store: storeIn(kept) })]);
    for (const files of both) expect(await holds(files, folder)).toBe(true);
    expect(gets(SHARD)).toHaveLength(1);
  });

  test("a dead process's lock is broken", async () => {
    await mkdir(kept, { recursive: true });
    const lock = join(kept, `${folderOf(`${server.origin}/model/`)}.lock`);
    const { pid } = spawnSync(process.execPath, ['--version']);
    await writeFile(lock, `${pid}@${hostname()} x`);
    expect(await holds(await download(), folder)).toBe(true);
    // And one of whom nothing is known, once its time is long ago.
    await rm(kept, { recursive: true });
    await mkdir(kept);
    await writeFile(lock, 'deno x');
    await utimes(lock, new Date(0), new Date(0));
    expect(await holds(await download(), folder)).toBe(true);
  });
});

describe('revalidate', () => {
  test('nothing changed: small requests alone', async () => {
    await download();
    const before = server.asked.length;
    expect(await holds(await download({ revalidate: true }), folder)).toBe(true);
    expect(server.asked.slice(before).every(({ method }) => method === 'HEAD')).toBe(true);
  });

  test('a new version replaces the old one, which nothing stays of', async () => {
    await download();
    const other = makeFolder(2);
    await writeFolder(join(served, 'model'), other);
    expect(await holds(await download(), folder)).toBe(true);
    expect(await holds(await download({ revalidate: true }), other)).toBe(true);
    expect((await dump(kept)).size).toBe(Object.keys(other).length + 1);
  });

  test('a failure keeps the old one, and says so', async () => {
    await download();
    await writeFolder(join(served, 'model'), makeFolder(2));
    faults(SECOND, { kind: 'status', status: 500 });
    const heard: string[] = [];
    const onStale = (message: string) => heard.push(message);
    const options = { revalidate: true, onStale, download: { retries: 0 } };
    expect(await holds(await download(options), folder)).toBe(true);
    expect(heard).toEqual([expect.stringContaining('500')]);
    // Also once the cache knows a part of the new version.
    expect(await holds(await download(), folder)).toBe(true);
  });
});

describe('hubs', () => {
  const COMMITS = ['a'.repeat(40), 'b'.repeat(40)];
  let newest: number;

  beforeEach(async () => {
    newest = 0;
    for (const [i, commit] of COMMITS.entries()) {
      const version = makeFolder(i + 1, { hashes: false });
      await writeFolder(join(served, 'owner/name/resolve', commit), version, new Date(i * 1e6));
    }
    await symlink(join(served, 'owner/name/resolve', COMMITS[0]), join(served, 'owner/name/resolve/main'));
    server.headers = ({ path }, response) => {
      const revision = path.split('/')[4];
      response.setHeader('x-repo-commit', revision === 'main' ? COMMITS[newest] : revision);
    };
  });

  const hub = (revision?: string): HubSource => ({ hub: 'owner/name', endpoint: server.origin, revision });

  test('every file is of the commit that the branch stood for at first', async () => {
    server.fault = ({ path }) => {
      // As soon as the first file is out, the branch moves.
      if (path.endsWith('config.json')) newest = 1;
      return null;
    };
    expect(await holds(await download({}, hub()), makeFolder(1, { hashes: false }))).toBe(true);
    const revisions = new Set(server.asked.slice(1).map(({ path }) => path.split('/')[4]));
    expect(revisions).toEqual(new Set([COMMITS[0]]));
  });

  test('a branch that moved while nothing ran: no file of the old commit is taken', async () => {
    faults(SECOND, { kind: 'status', status: 500 });
    await codeOf(download({ download: { retries: 0, parallel: 1 } }, hub()));
    server.fault = () => null;
    newest = 1;
    await rm(join(served, 'owner/name/resolve/main'));
    await symlink(join(served, 'owner/name/resolve', COMMITS[1]), join(served, 'owner/name/resolve/main'));
    expect(await holds(await download({}, hub()), makeFolder(2, { hashes: false }))).toBe(true);
  });

  test("a hub's own hash is checked", async () => {
    const right = sha256(makeFolder(1)[SHARD]);
    server.headers = ({ path }, response) => {
      if (path.endsWith(SHARD)) response.setHeader('x-linked-etag', `"${right}"`);
    };
    faults(SHARD, { kind: 'bytes', at: 0.5 }, { kind: 'bytes', at: 0.5 });
    expect(await codeOf(download({}, hub()))).toBe('DOWNLOAD_CORRUPT');
    server.fault = () => null;
    expect(await holds(await download({}, hub()), makeFolder(1, { hashes: false }))).toBe(true);
  });

  test('ids and endpoints: by text, by option, by the environment', () => {
    const address = (...args: Parameters<typeof parseRemote>) =>
      parseRemote(...args).address('config.json', null);
    const environment = (name: string) => (name === 'HF_ENDPOINT' ? 'https://mirror.example/hf/' : undefined);
    expect(address('hub:o/n')).toMatch(/^https:\/\/[a-z.]+\/o\/n\/resolve\/main\/config.json$/);
    expect(address('hub:o/n@v1.0')).toMatch(/\/o\/n\/resolve\/v1.0\/config.json$/);
    expect(address('hub:o/n@refs/pr/1')).toMatch(/\/resolve\/refs%2Fpr%2F1\/config.json$/);
    expect(address('hub:o/n', environment)).toBe('https://mirror.example/hf/o/n/resolve/main/config.json');
    expect(address({ hub: 'o/n', endpoint: 'http://x' }, environment)).toBe(
      'http://x/o/n/resolve/main/config.json',
    );
    expect(address('https://x/a?sig=1')).toBe('https://x/a/config.json?sig=1');
    expect(parseRemote('https://x/a?sig=1').name).toBe('https://x/a/');
    for (const wrong of [
      'hub:',
      'hub:name',
      'hub:o/n/x',
      'hub:../n',
      'hub:o/n@',
      'hub:o/n@../x',
      'https://',
      'https://u:p@x/',
    ]) {
      expect(() => parseRemote(wrong), wrong).toThrow(ArgumentError);
    }
  });
});

describe('tokens', () => {
  const SECRET = 'hf_verySecretToken';
  let other: FaultServer;

  beforeEach(async () => {
    other = await startServer(join(served, 'owner/name/resolve'));
    await writeFolder(join(served, 'owner/name/resolve/main'), folder);
    // As hubs do: what is large comes from elsewhere.
    server.fault = ({ path, authorization }) => {
      if (authorization !== `Bearer ${SECRET}`) return { kind: 'status', status: 401 };
      const at = path.indexOf('/main/');
      return path.endsWith('.safetensors') ? { kind: 'redirect', to: other.origin + path.slice(at) } : null;
    };
  });

  afterEach(() => other.close());

  const source = () => ({ hub: 'owner/name', endpoint: server.origin });

  test('the token goes to the hub, and not on to where it points', async () => {
    expect(await holds(await download({ token: SECRET }, source()), folder)).toBe(true);
    expect(other.asked.length).toBeGreaterThan(2);
    expect(other.asked.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
    for (const bytes of (await dump(kept)).values()) expect(Buffer.from(bytes).includes(SECRET)).toBe(false);
  });

  test("the environment's token is for the environment's hub", async () => {
    const environment = { HF_TOKEN: SECRET, HF_ENDPOINT: server.origin };
    expect(await holds(await download({ environment }, 'hub:owner/name'), folder)).toBe(true);
    const before = server.asked.length;
    expect(
      await codeOf(download({ environment: { HF_TOKEN: SECRET }, store: storeIn(`${kept}2`) }, source())),
    ).toBe('DOWNLOAD_DENIED');
    expect(server.asked.slice(before).every(({ authorization }) => authorization === undefined)).toBe(true);
    expect(await codeOf(download({ environment }, `${server.origin}/owner/name/resolve/main`))).toBe(
      'DOWNLOAD_DENIED',
    );
  });

  test('no error shows it', async () => {
    const shown: string[] = [];
    const keep = async (options: Options): Promise<void> => {
      const error: unknown = await download(options, source()).catch((thrown: unknown) => thrown);
      shown.push(inspect(error, { depth: 10, showHidden: true }));
    };
    await keep({ token: `${SECRET}\n` });
    await keep({ token: `${SECRET}x` });
    other.fault = () => ({ kind: 'status', status: 500 });
    await keep({ token: SECRET, download: { retries: 0 } });
    await server.close();
    await keep({ token: SECRET, store: storeIn(`${kept}2`), download: { retries: 0 } });
    expect(shown.map((text) => /OPTION_INVALID|DOWNLOAD_DENIED|DOWNLOAD_FAILED/.exec(text)?.[0])).toEqual([
      'OPTION_INVALID',
      'DOWNLOAD_DENIED',
      'DOWNLOAD_FAILED',
      'DOWNLOAD_FAILED',
    ]);
    for (const text of shown) expect(text).not.toContain(SECRET);
  });

  test('without one the error says what to do', async () => {
    await expect(download({}, source())).rejects.toMatchObject({
      code: 'DOWNLOAD_DENIED',
      fix: expect.stringContaining('HF_TOKEN') as string,
    });
  });
});

describe('the cache', () => {
  test('no room is said before the first large byte', async () => {
    const store = { ...storeIn(kept), available: async () => 10_000 };
    const error: unknown = await download({ store }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'CACHE_FULL',
      message: expect.stringMatching(/needs 8\d{4} more bytes/) as string,
    });
    expect(server.asked.some(({ method, path }) => method === 'GET' && path.endsWith('.safetensors'))).toBe(
      false,
    );
  });

  test('room that ends on the way is an error, and what came is kept', async () => {
    const store = storeIn(kept);
    let left = 60_000;
    const append: ModelStore['append'] = async (...args) => {
      const file = await store.append(...args);
      return {
        get size() {
          return file.size;
        },
        write: (bytes) => ((left -= bytes.length) < 0 ? Promise.reject(noRoom()) : file.write(bytes)),
        reset: () => file.reset(),
        close: () => file.close(),
      };
    };
    expect(await codeOf(download({ store: { ...store, append }, download: { parallel: 1 } }))).toBe(
      'CACHE_FULL',
    );
    expect(await holds(await download(), folder)).toBe(true);
    expect(gets('tokenizer.json')).toHaveLength(1);
  });

  test('a folder that may not be written is said', async () => {
    await writeFile(kept, 'a file in its way');
    expect(await codeOf(download())).toBe('CACHE_UNAVAILABLE');
  });

  test('lists, measures and deletes', async () => {
    const cache = createCache(storeIn(kept));
    expect(await cache.list()).toEqual([]);
    await download();
    await writeFolder(join(served, 'other'), makeFolder(2));
    faults(SECOND, { kind: 'status', status: 500 });
    await codeOf(download({ download: { retries: 0 } }, `${server.origin}/other`));
    const models = await cache.list();
    expect(models.map(({ name, complete }) => [name, complete])).toEqual([
      [`${server.origin}/model/`, true],
      [`${server.origin}/other/`, false],
    ]);
    expect(await cache.size()).toBe(models[0].bytes + models[1].bytes);
    expect(models[0].bytes).toBeGreaterThan(81_000);
    expect(await codeOf(cache.delete('nothing'))).toBe('MODEL_NOT_FOUND');
    expect(await cache.delete(models[0].name)).toBe(models[0].bytes);
    expect(await cache.list()).toHaveLength(1);
    expect(await cache.delete('all')).toBe(models[1].bytes);
    expect((await dump(kept)).size).toBe(0);
  });

  test('what is being downloaded is not deleted', async () => {
    const store = storeIn(kept);
    await download();
    const [{ name }] = await createCache(store).list();
    const release = await store.lock(folderOf(name));
    expect(await codeOf(createCache(store).delete(name))).toBe('CACHE_BUSY');
    await release?.();
    expect(await createCache(store).delete(name)).toBeGreaterThan(0);
  });

  test('names that differ in little have folders of their own', () => {
    const names = ['o/n@main', 'o/n@Main', 'o_n@main', 'o/n@main (x)', 'http://x/o/n/', 'https://x/o/n/'];
    expect(new Set(names.map(folderOf)).size).toBe(names.length);
    for (const name of [...names, '../..', '', 'x'.repeat(1000)])
      expect(folderOf(name)).toMatch(/^[\w.-]{1,90}$/);
  });
});

describe('files one at a time', () => {
  test('each comes when it is opened, and stays', async () => {
    const remote = () =>
      remoteFiles({ store: storeIn(kept), fetch: nodeFetch }, parseRemote(`${server.origin}/model`));
    const files = remote();
    expect(await files.has(SHARD)).toBe(true);
    expect(await files.has('pytorch_model.bin')).toBe(false);
    expect(server.asked.every(({ method }) => method === 'HEAD')).toBe(true);
    const source = await files.open(SHARD);
    expect(sha256(await source.read(0, source.size))).toBe(sha256(folder[SHARD]));
    await source.close();
    await (await remote().open(SHARD)).close();
    expect(gets(SHARD)).toHaveLength(1);
    expect(await codeOf(files.open('absent'))).toBe('MODEL_FILE_MISSING');
  });
});
