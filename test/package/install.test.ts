/** The packages as npm has them, in projects for Node, TypeScript, Deno, Vite, webpack, and without a bundler. */
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'puppeteer-core';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import webpack, { type Configuration } from 'webpack';
import { startServer } from '../download/server.ts';
import { launchChromium } from '../support/browsers.ts';
import { starAnswer, WHERE } from '../support/star.ts';
import { openProjects, type Projects } from './projects.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const picture = at('examples/images/scene.png');
const lines = (text: string): string[] => text.split('\n');

let projects: Projects;
let browser: Browser;

beforeAll(async () => {
  [projects, browser] = await Promise.all([openProjects(), launchChromium()]);
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await projects?.remove();
});

const inNode = `import { demoModel, load } from 'llava-sp';
const model = await load(demoModel, { device: 'wasm', threads: 1 });
console.log(await model.ask(process.argv[2] ?? '', '${WHERE}').text());
await model.dispose();
`;

test('Node: a script, and the command line', async () => {
  const project = await projects.create('in-node', { 'main.js': inNode });
  const node = at('node_modules/.bin/node');
  expect(lines(await projects.run(project, node, ['main.js', picture]))).toEqual([await starAnswer(), '']);
  const cli = join(project, '../node_modules/llava-sp/dist/cli.js');
  const asked = [cli, 'ask', picture, WHERE, '--device', 'wasm', '--threads', '1'];
  expect(lines(await projects.run(project, node, asked))).toEqual([await starAnswer(), '']);
});

// In Node as `tsc --init` leaves it; in browsers all declarations are checked, too.
test.each(['node16', 'bundler'] as const)('TypeScript: strict, moduleResolution %s', async (resolution) => {
  const isBundler = resolution === 'bundler';
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: 'es2023',
    skipLibCheck: !isBundler,
    lib: isBundler ? ['esnext', 'dom', 'dom.iterable', 'dom.asynciterable'] : ['es2023'],
    types: isBundler ? [] : ['node'],
    module: isBundler ? 'esnext' : 'node16',
    moduleResolution: resolution,
    customConditions: isBundler ? ['browser'] : undefined,
  };
  const inBrowser = `import { demoModel, load, type Answer } from 'llava-sp';
const model = await load(demoModel, { thread: 'worker', onProgress: ({ fraction }) => fraction.toFixed(2) });
const answer: Answer = model.ask(document.createElement('canvas'), '${WHERE}');
const text: string = await answer.text();
const { boxes } = await model.ground(new Blob([text]), 'the red star');
console.log(boxes[0]?.x1.toFixed(0), model.info.backend.name);
`;
  const project = await projects.create(`in-typescript-${resolution}`, {
    'tsconfig.json': JSON.stringify({ compilerOptions, files: ['main.ts'] }),
    'main.ts': isBundler ? inBrowser : inNode,
  });
  const tsc = [at('node_modules/typescript/bin/tsc'), '-p', '.'];
  // What it finds wrong it prints to stdout.
  const said = await projects.run(project, at('node_modules/.bin/node'), tsc).catch((error: unknown) => {
    return (error as { stdout: string }).stdout;
  });
  expect(said).toBe('');
});

test('Deno: types and permissions', async () => {
  const main = inNode
    .replace("'llava-sp'", "'npm:llava-sp'")
    .replace("process.argv[2] ?? ''", 'Deno.args[0]');
  const project = await projects.create('in-deno', {
    'main.ts': main,
    'deno.json': JSON.stringify({ nodeModulesDir: 'manual' }),
  });
  const deno = at('node_modules/.bin/deno');
  await projects.run(project, deno, ['check', '--quiet', 'main.ts']);
  const reads = ['..', at('node_modules'), picture].join(',');
  const args = ['run', '--quiet', '--no-prompt', `--allow-read=${reads}`, 'main.ts', picture];
  expect(lines(await projects.run(project, deno, args))).toEqual([await starAnswer(), '']);
});

/** A page's script: what comes of it is the page's title. */
const inPage = (imports: string, model: string): string => `${imports}
try {
  const model = await load(${model}, { device: 'wasm' });
  const picture = await (await fetch('scene.png')).blob();
  document.title = await model.ask(picture, '${WHERE}').text();
  await model.dispose();
} catch (error) {
  document.title = String(error);
}
`;

/** Serves a folder with an `index.html` and gives the title that its page comes to. */
async function titleOf(folder: string): Promise<string> {
  await cp(picture, join(folder, 'scene.png'));
  const server = await startServer(folder);
  const page = await browser.newPage();
  try {
    await page.goto(`${server.origin}/index.html`, { timeout: 30_000 });
    await page.waitForFunction('document.title !== ""', { timeout: 60_000 });
    return await page.title();
  } finally {
    await page.close();
    await server.close();
  }
}

const html = (script: string): string => `<!doctype html><script type="module" src="${script}"></script>`;

test('Vite: as it comes, without a configuration', async () => {
  const project = await projects.create('in-vite', {
    'index.html': html('./main.js'),
    'main.js': inPage(`import { demoModel, load } from 'llava-sp';`, 'demoModel'),
  });
  await build({ root: project, base: './', configFile: false, logLevel: 'error' });
  expect(await titleOf(join(project, 'dist'))).toEqual(await starAnswer());
});

test('webpack 5: as it comes, without a configuration', async () => {
  const project = await projects.create('in-webpack', {
    'dist/index.html': html('./main.js'),
    'src/index.js': inPage(`import { demoModel, load } from 'llava-sp';`, 'demoModel'),
  });
  const options: Configuration = {
    context: project,
    mode: 'production',
    output: { path: join(project, 'dist') },
    // Half a minute of processor time for nothing that is ours.
    optimization: { minimize: false },
  };
  const found = await new Promise<string>((done, fail) => {
    webpack(options, (error, stats) => {
      if (error) fail(error);
      else done(stats?.toString({ all: false, errors: true }) ?? '');
    });
  });
  expect(found).toBe('');
  expect(await titleOf(join(project, 'dist'))).toEqual(await starAnswer());
});

test('no bundler: one file, and the folder of a model', async () => {
  const project = await projects.create('without-bundler', {
    'index.html': html('./main.js'),
    'main.js': inPage(`import { load } from './llava-sp.js';`, `'model/'`),
  });
  const installed = join(project, '../node_modules/@llava-sp');
  await cp(join(installed, 'browser/dist/llava-sp.js'), join(project, 'llava-sp.js'));
  await mkdir(join(project, 'model'));
  await cp(join(installed, 'demo-model/model'), join(project, 'model'), { recursive: true });
  expect(await titleOf(project)).toEqual(await starAnswer());
});
