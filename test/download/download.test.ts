/** Downloads from a server that does as it should, and from one that does not, one thing at a time. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { downloadModel, type DownloadEvents } from '../../packages/core/src/download/model.ts';
import type { DownloadOptions } from '../../packages/core/src/download/options.ts';
import { createCache } from '../../packages/core/src/download/cache.ts';
import { parseRemote, type HubSource } from '../../packages/core/src/download/source.ts';
import type { ModelFiles, ModelStore } from '../../packages/core/src/host.ts';
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
  const place = { store, environment: (name: string) => environment[name] };
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

const gets = (file: string) =>
  server.asked.filter(({ method, path }) => method === 'GET' && path.endsWith(`/${file}`));

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
    const { [SHARD]: weights, ...others } = folder;
    const plain = Object.fromEntries(
      Object.entries(others).filter(([name]) => name.endsWith('r.json') || name.endsWith('config.json')),
    );
    const single = { ...plain, 'model.safetensors': weights };
    await writeFolder(join(served, 'single'), single);
    expect(await holds(await download({}, `${server.origin}/single`), single)).toBe(true);
  });
});
