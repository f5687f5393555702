/** Downloads in Chromium, into the origin private file system. */
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { openChromium, type Chromium } from '../support/chromium.ts';
import { makeFolder, sha256, temporary, writeFolder, type Folder } from './folder.ts';
import type { PageInput, PageOutput } from './in_page.ts';
import { startServer, type Fault, type FaultServer } from './server.ts';

vi.mock('@llava-sp/core', () => import('./core.ts'));

const SHARDS = [3_000_000, 500_000];
const FIRST = 'model-00001-of-00002.safetensors';

let scratch: Awaited<ReturnType<typeof temporary>>;
let server: FaultServer;
let chromium: Chromium;
let folder: Folder;
let models = 0;
let source: string;

beforeAll(async () => {
  scratch = await temporary();
  server = await startServer(scratch.path);
  // Another origin than the page's. The headers of ranges and versions are not told unless a server exposes them.
  server.headers = (_, response) => response.setHeader('access-control-allow-origin', '*');
  folder = makeFolder(7, { shards: SHARDS });
  chromium = await openChromium(new URL('./in_page.ts', import.meta.url));
}, 120_000);

afterAll(async () => {
  await chromium.close();
  await server.close();
  await scratch.remove();
});

beforeEach(async () => {
  const name = `model-${models++}`;
  source = `${server.origin}/${name}`;
  server.fault = () => null;
  server.asked.length = 0;
  await writeFolder(join(scratch.path, name), folder);
});

/** Where requests for the rest of the first shard began. */
const ranges = () =>
  server.asked.flatMap(({ path, range }) =>
    path.endsWith(FIRST) && range ? [Number(/\d+/.exec(range)?.[0])] : [],
  );
const files = () => Object.keys(folder);
const hashes = () => Object.values(folder).map(sha256);
const options = { download: { backoff: 1, stallTimeout: 2000 } };

function run(input: PageInput): Promise<PageOutput> {
  return chromium.run<PageOutput>({ source, options, files: files(), ...input }, 30_000);
}

async function reload(): Promise<void> {
  await chromium.page.reload();
  await chromium.page.waitForFunction('globalThis.run !== undefined');
}

/** The first GET of a file goes wrong. */
function faultOnce(file: string, fault: Fault): void {
  let done = false;
  server.fault = ({ method, path }) => {
    if (done || method !== 'GET' || !path.endsWith(file)) return null;
    done = true;
    return fault;
  };
}

test('a model comes into OPFS, and is there after a reload without a request', async () => {
  const first = await run({});
  expect(first).toMatchObject({ error: null, hashes: hashes() });
  const asked = server.asked.length;
  await reload();
  const again = await run({});
  expect(again).toMatchObject({ error: null, hashes: hashes() });
  expect(server.asked).toHaveLength(asked);
  const bytes = again.models.find(({ name }) => name === `${source}/`)?.bytes ?? 0;
  expect(bytes).toBeGreaterThan(SHARDS[0] + SHARDS[1]);
});

test.each([
  ['dropped', { kind: 'drop', at: 0.7 }],
  ['stalled', { kind: 'stall', at: 0.7 }],
] as const)('a %s connection goes on by a range', async (_, fault) => {
  faultOnce(FIRST, fault);
  expect(await run({})).toMatchObject({ error: null, hashes: hashes() });
  expect(ranges()).toHaveLength(1);
});

test.each([false, true])(
  'what came before an abort is kept over a reload (without a worker: %s)',
  async (withoutWorker) => {
    server.fault = ({ path }) => (path.endsWith(FIRST) ? { kind: 'stall', at: 0.6 } : null);
    expect(await run({ abortAt: 1_000_000, withoutWorker })).toMatchObject({ error: 'ABORTED' });
    server.fault = () => null;
    await reload();
    const again = await run({ withoutWorker });
    await reload();
    expect(again).toMatchObject({ error: null, hashes: hashes() });
    expect(ranges()).toHaveLength(1);
  },
);

test('a page that dies leaves what came, and the next one goes on', async () => {
  server.fault = ({ path }) => (path.endsWith(FIRST) ? { kind: 'stall', at: 0.6 } : null);
  const dying = run({ options: { download: { stallTimeout: 60_000 } } }).catch(() => 'gone');
  await vi.waitFor(
    () =>
      expect(server.asked.some(({ method, path }) => method === 'GET' && path.endsWith(FIRST))).toBe(true),
    { timeout: 20_000 },
  );
  await new Promise((done) => setTimeout(done, 500));
  await reload();
  expect(await dying).toBe('gone');
  server.fault = () => null;
  expect(await run({})).toMatchObject({ error: null, hashes: hashes() });
  expect(ranges()).toHaveLength(1);
});

test('models are listed and deleted', async () => {
  await run({});
  const { models } = await run({ source: undefined, delete: `${source}/` });
  expect(models.some(({ name }) => name === `${source}/`)).toBe(false);
});
