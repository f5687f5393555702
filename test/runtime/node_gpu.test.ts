/** WebGPU in the Node adapter: the process ends by itself whatever was done with it, and what is kept between runs. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { load } from '@llava-sp/node';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fileSettings, settingsPath } from '../../packages/node/src/settings.ts';
import { driverEnv, openTestGpu } from '../support/gpu.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'llava-sp-gpu-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('the tests GPUs', () => {
  test('both drivers live in one process', async () => {
    for (const name of ['lavapipe', 'swiftshader', 'lavapipe'] as const) {
      const adapter = await (await openTestGpu(name)).requestAdapter();
      const device = await adapter?.requestDevice();
      expect(device?.limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(128 << 20);
      device?.destroy();
    }
  });
});

/** Uses a GPU through the built adapter, then does `end`. The garbage collector runs: Dawn's object must outlive it. */
const script = (end: string): string => `
  const { nodeHost } = await import(${JSON.stringify(join(root, 'packages/node/dist/index.js'))});
  const adapter = await (await nodeHost.openGpu()).requestAdapter();
  const device = await adapter.requestDevice();
  const buffer = device.createBuffer({ size: 1024, usage: 0x0001 | 0x0008 });
  device.queue.writeBuffer(buffer, 0, new Uint8Array(1024));
  device.queue.submit([]);
  await device.queue.onSubmittedWorkDone();
  for (let i = 0; i < 10; i++) { globalThis.gc(); await new Promise((done) => setTimeout(done, 5)); }
  await buffer.mapAsync(1);
  buffer.unmap();
  console.log(typeof globalThis.GPUBufferUsage);
  ${end}
`;

const LEAVE = `for await (const piece of model.ask('examples/images/scene.png', 'Describe the image.')) if (piece) break;`;

describe('a Node process that used the GPU', () => {
  test.each([
    ['destroyed its device', 'device.destroy(); await device.lost;'],
    ['destroyed nothing', ''],
    ['waits for the loss of a device', 'void device.lost.then(() => console.log("lost"));'],
    [
      'left a pipeline compiling',
      `void device.createComputePipelineAsync({ layout: 'auto', compute: { module:
       device.createShaderModule({ code: '@compute @workgroup_size(1) fn main() {}' }) } });`,
    ],
    ['left a read under way', 'void buffer.mapAsync(1).catch(() => undefined);'],
    ['calls process.exit', 'process.exit(0);'],
  ])('ends when it %s', async (_, end) => {
    for (const driver of ['lavapipe', 'swiftshader'] as const) {
      const { stdout } = await run(
        process.execPath,
        ['--expose-gc', '--input-type=module', '--eval', script(end)],
        // Rejects unless the exit code is 0.
        { env: { ...process.env, ...driverEnv(driver) }, timeout: 10_000, killSignal: 'SIGKILL' },
      );
      expect(stdout, 'nothing is put onto globalThis').toContain('undefined');
    }
  });

  const QUESTION = 'How many objects are there?';
  const ask = (end: string): string => `
    const { load } = await import(${JSON.stringify(join(root, 'packages/node/dist/index.js'))});
    const model = await load('packages/demo-model/model', { device: 'webgpu' });
    console.log(await model.ask('examples/images/scene.png', '${QUESTION}').text());
    ${end}
    console.log('asked');
    setTimeout(() => console.log('still here'), 10_000).unref();`;

  let answer: string;
  beforeAll(async () => {
    const model = await load(join(root, 'packages/demo-model/model'), { device: 'wasm' });
    try {
      answer = await model.ask(join(root, 'examples/images/scene.png'), QUESTION).text();
    } finally {
      await model.dispose();
    }
  });

  test.each([
    ['disposed of its model', 'await model.dispose();'],
    ['keeps its model', ''],
    ['left an answer in the middle', LEAVE],
  ])('ends when it %s', { timeout: 300_000 }, async (_, end) => {
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', ask(end)], {
      cwd: root,
      env: {
        ...process.env,
        ...driverEnv('lavapipe'),
        // Not the user's settings, but what lavapipe has compiled before: from nothing it takes a minute and more.
        XDG_CACHE_HOME: folder,
        MESA_SHADER_CACHE_DIR: process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'),
      },
      timeout: 280_000,
      killSignal: 'SIGKILL',
    });
    expect(stdout).toBe(`${answer}\nasked\n`);
  });

  test('says how to install the package when it is absent', async () => {
    // The adapter alone, with its dependencies and without webgpu.
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    const source = join(root, 'packages/node/dist');
    for (const file of await readdir(source)) {
      if (file.endsWith('.js')) await writeFile(join(folder, file), await readFile(join(source, file)));
    }
    await mkdir(join(folder, 'node_modules'));
    await symlink(join(root, 'node_modules/@llava-sp'), join(folder, 'node_modules/@llava-sp'));
    const code = `const { nodeHost } = await import('./index.js');
      await nodeHost.openGpu().catch(({ code, fix }) => console.log(code, fix));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', code], { cwd: folder });
    expect(stdout.trim()).toBe('BACKEND_UNAVAILABLE Run: npm install webgpu');
  });
});

describe('settings', () => {
  test('last, and never throw', async () => {
    const path = join(folder, 'a/b/settings.json');
    const settings = fileSettings(path);
    expect(await settings.get('x')).toBeNull();
    // Two at once: neither is lost.
    await Promise.all([settings.set('x', '1'), settings.set('__proto__', '2'), settings.set('y', 'é\n')]);
    const again = fileSettings(path);
    expect(await Promise.all(['x', '__proto__', 'y', 'z'].map((key) => again.get(key)))).toEqual([
      '1',
      '2',
      'é\n',
      null,
    ]);
    expect(await readdir(join(folder, 'a/b')), 'nothing else stays behind').toEqual(['settings.json']);

    for (const damaged of ['', '{"x": "1"', 'null', '[1]', '{"x": 1}']) {
      await writeFile(path, damaged);
      expect(await again.get('x'), damaged).toBeNull();
      await again.set('x', 'new');
      expect(await again.get('x'), damaged).toBe('new');
    }
  });

  test('are forgotten where nothing can be written', async () => {
    await writeFile(join(folder, 'file'), '');
    const settings = fileSettings(join(folder, 'file/settings.json'));
    await settings.set('x', '1');
    expect(await settings.get('x')).toBeNull();
  });

  test('lie in the platform folder for caches', () => {
    expect(settingsPath('linux', { XDG_CACHE_HOME: '/c' })).toBe('/c/llava-sp/settings.json');
    expect(settingsPath('linux', { XDG_CACHE_HOME: 'c' })).toMatch(/\/\.cache\/llava-sp\/settings\.json$/);
    expect(settingsPath('darwin', {})).toMatch(/Library\/Caches\/llava-sp\/settings\.json$/);
    expect(settingsPath('win32', { LOCALAPPDATA: '/local' })).toBe('/local/llava-sp/settings.json');
  });
});
