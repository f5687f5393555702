/** 200 downloads from a server that goes wrong by chance: each ends with the right bytes or a clear error. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { downloadModel } from '../../packages/core/src/download/model.ts';
import { parseRemote } from '../../packages/core/src/download/remote.ts';
import { LoadError } from '../../packages/core/src/errors/index.ts';
import { nodeFetch } from '../../packages/node/src/fetch.ts';
import { Random } from '../support/random.ts';
import { dump, holds, makeFolder, sha256, storeIn, temporary, writeFolder, type Folder } from './folder.ts';
import { startServer, type Asked, type Fault, type FaultServer } from './server.ts';

vi.mock('@llava-sp/core', () => import('./core.ts'));

const RUNS = 200;
/** Downloads at a time. */
const LANES = 8;
const SEED = 20_261;
const INDEX = 'model.safetensors.index.json';
const CODES = [
  'DOWNLOAD_FAILED',
  'DOWNLOAD_CORRUPT',
  'DOWNLOAD_DENIED',
  'MODEL_NOT_FOUND',
  'MODEL_FILE_MISSING',
];

let scratch: Awaited<ReturnType<typeof temporary>>;
let server: FaultServer;
/** By the first part of the path. */
const faultOf = new Map<string, (asked: Asked) => Fault | null>();

beforeAll(async () => {
  scratch = await temporary();
  server = await startServer(join(scratch.path, 'served'));
  server.fault = (asked) => faultOf.get(asked.path.split('/')[1])?.(asked) ?? null;
});

afterAll(async () => {
  await server.close();
  await scratch.remove();
});

function randomFault(random: Random, verifiable: boolean): Fault {
  const at = random.uniform();
  const faults: Fault[] = [
    { kind: 'drop', at },
    { kind: 'drop', at: 0 },
    { kind: 'stall', at },
    { kind: 'truncate', at },
    { kind: 'length', by: random.below(2000) - 1000 },
    { kind: 'range', by: random.below(2000) - 1000 },
    { kind: 'ignore-range' },
    { kind: 'status', status: random.pick([429, 500, 502, 503]), retryAfter: random.pick(['0', 'soon']) },
    { kind: 'status', status: random.pick([400, 401, 403, 404, 416]) },
    { kind: 'redirect' },
    { kind: 'gzip' },
    { kind: 'no-validator' },
  ];
  return verifiable && random.uniform() < 0.15 ? { kind: 'bytes', at } : random.pick(faults);
}

/** One download of the seed: the outcome's name. */
async function run(seed: number): Promise<string> {
  const random = new Random(seed);
  const name = `run-${seed}`;
  const served = join(scratch.path, 'served', name);
  const kept = join(scratch.path, 'kept', name);
  const hashes = random.uniform() < 0.7;
  const shards = [random.below(60_000), random.below(9000), 0].slice(0, 1 + random.below(3));
  const versions: Folder[] = [0, 1].map((i) => makeFolder(seed * 2 + i, { shards, hashes }));
  await writeFolder(served, versions[0], new Date(0));
  const rate = random.uniform() * 0.7;
  const changesAt = random.uniform() < 0.2 ? random.below(14) : Infinity;
  let answers = 0;
  let changed = Promise.resolve();
  faultOf.set(name, ({ path }) => {
    if (answers++ === changesAt) changed = writeFolder(served, versions[1]);
    // What nobody gives a hash of can't be told from another file that is as good.
    return random.uniform() < rate ? randomFault(random, hashes && !path.endsWith(INDEX)) : null;
  });

  const download = (stallTimeout: number) =>
    downloadModel({ store: storeIn(kept), fetch: nodeFetch }, parseRemote(`${server.origin}/${name}`), {
      download: { backoff: 1, retries: 3, stallTimeout, parallel: 1 + random.below(4) },
    });
  const good = async (opened: Awaited<ReturnType<typeof download>>): Promise<boolean> => {
    if (hashes) return (await holds(opened, versions[0])) || holds(opened, versions[1]);
    // Without hashes a folder that changes meanwhile may come of both versions, but no file of it.
    for (const file of Object.keys(versions[0])) {
      const source = await opened.open(file);
      const digest = sha256(await source.read(0, source.size));
      await source.close();
      if (!versions.some((version) => sha256(version[file]) === digest)) return false;
    }
    return true;
  };

  let outcome = 'whole';
  try {
    expect(await good(await download(60)), `seed ${seed}: the first download`).toBe(true);
  } catch (error) {
    if (!(error instanceof LoadError)) throw error;
    expect(CODES, `seed ${seed}: ${error.message}`).toContain(error.code);
    expect(error.message.length * error.fix.length).toBeGreaterThan(0);
    outcome = error.code;
  }
  await changed;
  faultOf.delete(name);
  expect(await good(await download(5000)), `seed ${seed}: the download after ${outcome}`).toBe(true);
  // Nothing of what went wrong stays behind.
  const left = [...(await dump(kept)).keys()].filter((file) => /partial|pending|lock/.test(file));
  expect(left, `seed ${seed}`).toEqual([]);
  return outcome;
}

test(`${RUNS} seeded runs end with the right bytes or a clear error, and a later one succeeds`, async () => {
  const outcomes = new Map<string, number>();
  let next = 0;
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      while (next < RUNS) {
        const outcome = await run(SEED + next++);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }),
  );
  console.log(Object.fromEntries(outcomes));
  // Both ends are reached: else the faults are too mild, or too many.
  expect(outcomes.get('whole')).toBeGreaterThan(30);
  expect(RUNS - (outcomes.get('whole') ?? 0)).toBeGreaterThan(30);
}, 120_000);
