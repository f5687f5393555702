/** The built packages load a model over http, from a hub's layout and from Blobs, and keep it: in Node, Deno, the command line. */
import { openAsBlob } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modelUrl } from '@llava-sp/demo-model';
import { cache, load, type LoadOptions, type LoadProgress, type ModelSource } from '@llava-sp/node';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { cli, node, start } from '../cli/run.ts';
import { answered } from '../support/answered.ts';
import { deno, root } from '../support/deno.ts';
import { temporary } from './folder.ts';
import { startServer, type FaultServer } from './server.ts';

const QUESTION = 'Describe the image.';
const image = join(root, 'examples/images/scene.png');
const folder = fileURLToPath(modelUrl);
const SECRET = 'hf_secretOfTheEnvironment';

let scratch: Awaited<ReturnType<typeof temporary>>;
let server: FaultServer;
let expected: string;

beforeAll(async () => {
  scratch = await temporary();
  process.env.LLAVA_SP_CACHE = join(scratch.path, 'kept');
  process.env.HF_TOKEN = SECRET;
  await cp(folder, join(scratch.path, 'served/owner/name/resolve/main'), { recursive: true });
  server = await startServer(join(scratch.path, 'served'));
  process.env.HF_ENDPOINT = server.origin;
  expected = await answered((model) => model.ask(image, QUESTION).text());
});

afterAll(async () => {
  delete process.env.LLAVA_SP_CACHE;
  delete process.env.HF_TOKEN;
  delete process.env.HF_ENDPOINT;
  await server.close();
  await scratch.remove();
});

beforeEach(() => void server.asked.splice(0));

async function ask(source: ModelSource, options: LoadOptions = {}): Promise<string> {
  await using model = await load(source, { device: 'wasm', threads: 1, ...options });
  return await model.ask(image, QUESTION).text();
}

const address = () => `${server.origin}/owner/name/resolve/main`;

test('an address: downloaded, then from the cache', async () => {
  const seen: LoadProgress[] = [];
  expect(await ask(address(), { onProgress: (progress) => seen.push(progress) })).toEqual(expected);
  const phases = [...new Set(seen.map(({ phase }) => phase))];
  expect(phases).toEqual(['files', 'download', 'device', 'weights', 'compile', 'ready']);
  const fractions = seen.map(({ fraction }) => fraction);
  expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
  expect(fractions.at(-1)).toBe(1);
  const asked = server.asked.length;
  expect(asked).toBeGreaterThan(4);
  expect(server.asked.every(({ authorization }) => authorization === undefined)).toBe(true);

  expect(await ask(new URL(address()))).toEqual(expected);
  expect(server.asked).toHaveLength(asked);
  const [{ name, bytes, complete }] = await cache.list();
  expect({ name, complete }).toEqual({ name: `${address()}/`, complete: true });
  expect(bytes).toBeGreaterThan(1e6);
});

test("a hub's model, with the environment's endpoint and token; deleted, it is gone", async () => {
  expect(await ask('hub:owner/name')).toEqual(expected);
  expect(server.asked.every(({ authorization }) => authorization === `Bearer ${SECRET}`)).toBe(true);
  expect(await ask({ hub: 'owner/name', revision: 'main' })).toEqual(expected);
  const { name } = (await cache.list()).find((model) => model.name.startsWith('owner/name@main')) ?? {
    name: '',
  };
  expect(await cache.delete(name)).toBeGreaterThan(1e6);
  expect((await cache.list()).some((model) => model.name === name)).toBe(false);
});

test('Files and Blobs, in any order and by path', async () => {
  const names = (await readdir(folder)).toReversed();
  const blobs = await Promise.all(names.map((name) => openAsBlob(join(folder, name))));
  expect(await ask(new Map(names.map((name, i) => [name, blobs[i]])))).toEqual(expected);
  expect(await ask(Object.fromEntries(names.map((name, i) => [`folder/${name}`, blobs[i]])))).toEqual(
    expected,
  );
  const files = await Promise.all(
    names.map(async (name) => new File([await readFile(join(folder, name))], name)),
  );
  expect(await ask(files)).toEqual(expected);
  expect(server.asked).toEqual([]);
});

test('Deno has what Node downloaded, and the other way round', async () => {
  const code = `import { cache, load } from 'llava-sp';
    await using model = await load(Deno.args[0], { device: 'wasm', threads: 1 });
    const text = await model.ask(await Deno.readFile(Deno.args[1]), ${JSON.stringify(QUESTION)}).text();
    console.log(JSON.stringify({ text, models: (await cache.list()).map(({ name }) => name) }));`;
  const kept = process.env.LLAVA_SP_CACHE ?? '';
  // Beside the packages: bare names are found from where the code lies.
  await mkdir(join(root, '.cache'), { recursive: true });
  const script = join(root, '.cache', `load-${crypto.randomUUID()}.ts`);
  onTestFinished(() => rm(script, { force: true }));
  await writeFile(script, code);
  const run = async (source: string): Promise<{ text: string; models: string[] }> => {
    const permissions = [
      `--allow-read=${root},${kept}`,
      `--allow-write=${kept}`,
      '--allow-env=LLAVA_SP_CACHE,HF_ENDPOINT,HF_TOKEN',
      '--allow-net=127.0.0.1',
    ];
    const flags = ['run', '--no-prompt', '--quiet', '--no-check', ...permissions];
    const output = await deno([...flags, script, source, image]);
    return JSON.parse(output.trim().split('\n').at(-1) ?? '') as { text: string; models: string[] };
  };
  const first = await run(`${address()}/`);
  expect(first.text).toEqual(expected);
  expect(first.models).toContain(`${address()}/`);
  expect(server.asked).toEqual([]);
  const other = await run('hub:owner/name@main');
  expect(other.text).toEqual(expected);
  const asked = server.asked.length;
  expect(asked).toBeGreaterThan(4);
  expect(await ask('hub:owner/name@main')).toEqual(expected);
  expect(server.asked).toHaveLength(asked);
});

test('the command line takes an address, and lists and deletes what it downloaded', async () => {
  const run = (...args: string[]) => start(node, [cli, ...args]).done;
  const asked = await run(
    'ask',
    image,
    QUESTION,
    '--model',
    `${server.origin}/owner/../owner/name/resolve/main`,
    '-t',
    '1',
    '-d',
    'wasm',
  );
  expect([...asked.stdout.split('\n'), asked.code]).toEqual([expected, '', 0]);
  const listed = await run('cache', '--json');
  const { location, models } = JSON.parse(listed.stdout) as { location: string; models: { name: string }[] };
  expect(location).toBe(process.env.LLAVA_SP_CACHE);
  expect(models.map(({ name }) => name)).toContain(`${address()}/`);
  expect((await run('cache')).stdout).toMatch(/\d MB {2}http:.*\n.* in /s);
  expect(await run('cache', 'delete', 'nothing')).toMatchObject({ code: 3 });
  expect(await run('cache', 'remove')).toMatchObject({ code: 2 });
  expect((await run('cache', 'delete', 'all')).stdout).toMatch(/MB came free/);
  expect(await cache.list()).toEqual([]);
});
