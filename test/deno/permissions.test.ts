/** `npm:llava-sp` in a project of its own, with the permissions that its README names: none is too many, none too few. */
import { createServer, type Server } from 'node:http';
import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deno, root } from '../support/deno.ts';
import { makeProject, type Project } from './project.ts';

let project: Project;
let server: Server;
let host: string;

beforeAll(async () => {
  project = await makeProject();
  const folder = join(root, 'packages/demo-model/model');
  server = createServer((request, response) => {
    const name = (request.url ?? '').split('/').at(-1) ?? '';
    readFile(name.endsWith('.png') ? join(project.path, name) : join(folder, name)).then(
      (body) => response.end(request.method === 'HEAD' ? undefined : body),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(async () => {
  server?.closeAllConnections();
  server?.close();
  await project?.remove();
});

/** Runs code in the project; gives its last line. */
async function run(code: string, permissions: readonly string[]): Promise<string> {
  const file = join(project.path, 'main.ts');
  await writeFile(file, code);
  const env = { LLAVA_SP_CACHE: join(project.path, 'cache') };
  const args = ['run', '--no-prompt', '--quiet', '--no-check', ...permissions, 'main.ts'];
  const output = await deno(args, '', 60_000, { cwd: project.path, env });
  return output.trim().split('\n').at(-1) ?? '';
}

const ask = (source: string, picture: string): string => `
  import { demoModel, load } from 'npm:llava-sp';
  try {
    await using model = await load(${source}, { device: 'wasm', threads: 2 });
    console.log(await model.ask(${picture}, 'Where is the red star?').text());
  } catch (error) {
    console.log(error.code, error.fix ?? error);
  }`;

const ANSWER = /^\[0\.\d\d, 0\.\d\d, 0\.\d\d, 0\.\d\d\]$/;

/** Each of `needed` is enough with the others, and without it the error says how to give it. */
function table(
  code: () => string,
  needed: () => readonly (readonly [flag: string, without: RegExp])[],
): void {
  test('these are enough', async () => {
    const flags = needed().map(([flag]) => flag);
    expect(await run(code(), flags)).toMatch(ANSWER);
  });

  test('without any one of them the error names it', async () => {
    for (const [i, [flag, without]] of needed().entries()) {
      const others = needed().flatMap(([other], j) => (i === j ? [] : [other]));
      expect(await run(code(), others), `without ${flag}`).toMatch(without);
    }
  });
}

describe('the demo model and a file', () => {
  table(
    () => ask('demoModel', "'photo.png'"),
    () => [
      ['--allow-read=node_modules', /^FILE_UNREADABLE Run it with --allow-read=\S*node_modules/],
      ['--allow-read=photo.png', /^FILE_UNREADABLE Run it with --allow-read=photo\.png/],
    ],
  );
});

describe('the demo model and an address', () => {
  table(
    () => ask('demoModel', `'http://${host}/photo.png'`),
    () => [
      ['--allow-read=node_modules', /^FILE_UNREADABLE Run it with --allow-read=\S*node_modules/],
      [`--allow-net=${host}`, new RegExp(`^FILE_UNREADABLE Run it with --allow-net=${host}\\.$`)],
    ],
  );
});

describe('a model by address', () => {
  // Another one each time: what is in the cache asks nobody.
  let count = 0;
  table(
    () => ask(`'http://${host}/${++count}/model/'`, "await Deno.readFile('photo.png')"),
    () => [
      ['--allow-read=node_modules,photo.png', /^FILE_UNREADABLE Run it with --allow-read=\S*node_modules/],
      [`--allow-net=${host}`, new RegExp(`^FILE_UNREADABLE Run it with --allow-net=${host}\\.$`)],
      [
        '--allow-env=LLAVA_SP_CACHE,XDG_CACHE_HOME,HOME',
        /^CACHE_UNAVAILABLE Run it with --allow-env=LLAVA_SP_CACHE/,
      ],
      ['--allow-read=cache', /^CACHE_UNAVAILABLE Run it with --allow-read=\S*cache/],
      ['--allow-write=cache', /^CACHE_UNAVAILABLE .*--allow-write=\S*cache/],
    ],
  );

  test('what is in the cache needs no network', async () => {
    const code = ask(`'http://${host}/1/model/'`, "await Deno.readFile('photo.png')");
    const flags = [
      '--allow-read=node_modules,photo.png,cache',
      '--allow-write=cache',
      '--allow-env=LLAVA_SP_CACHE',
    ];
    expect(await run(code, flags)).toMatch(ANSWER);
  });
});

test('its types hold in a project of its own', async () => {
  const code = (type: string): string => `import { demoModel, load } from 'npm:llava-sp';
    await using model = await load(demoModel);
    const text: ${type} = await model.ask('photo.png', 'What is in the picture?').text();
    console.log(text);`;
  const check = async (type: string): Promise<string> => {
    await writeFile(join(project.path, 'types.ts'), code(type));
    return deno(['check', '--quiet', 'types.ts'], '', 60_000, { cwd: project.path });
  };
  await check('string');
  await expect(check('number')).rejects.toThrow('TS2322');
});
