/** The built package in pages of Chromium: threads, devices, policies, service workers and extensions. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TargetType, type Browser, type Page } from 'puppeteer-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium, runJob } from '../support/browsers.ts';
import { starAnswer } from '../support/star.ts';
import type { FaultServer } from '../download/server.ts';
import { ISOLATED, MODEL, openPage, openSite, POLICY, root } from './site.ts';

interface Asked {
  text: string;
  name: string;
  threads: number;
  chosen: Record<string, string>;
  warnings: { code: string; message: string }[];
  longTasks: number[];
  phases: string[];
}

const sites: Record<string, FaultServer> = {};
const folders: string[] = [];
let browser: Browser;

beforeAll(async () => {
  sites.plain = await openSite();
  sites.isolated = await openSite(ISOLATED);
  sites.strict = await openSite({ 'content-security-policy': `${POLICY}; report-uri /report` });
  sites.noWasm = await openSite({ 'content-security-policy': "script-src 'self'" });
  browser = await launchChromium({ enableExtensions: true, pipe: true });
}, 120_000);

afterAll(async () => {
  await browser.close();
  await Promise.all(Object.values(sites).map((site) => site.close()));
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
});

async function inPage<T>(site: FaultServer, work: (page: Page) => Promise<T>): Promise<T> {
  const page = await openPage(browser, site);
  try {
    return await work(page);
  } finally {
    await page.close();
  }
}

const ask = (site: FaultServer, input: unknown): Promise<Asked> =>
  inPage(site, (page) => runJob<Asked>(page, 'ask', input));

test('a model runs in a worker, with a thread a core where memory can be shared; the page is never held up', async () => {
  const asked = await ask(sites.isolated, { options: { device: 'wasm' } });
  expect(asked).toMatchObject({
    text: await starAnswer(),
    name: 'wasm',
    chosen: { thread: 'worker' },
    longTasks: [],
  });
  expect(asked.threads).toBeGreaterThan(1);
  expect(asked.phases).toEqual(['files', 'download', 'device', 'weights', 'compile', 'ready']);
});

test('without isolation it takes one thread', async () => {
  expect(await ask(sites.plain, { options: { device: 'wasm' } })).toMatchObject({
    text: await starAnswer(),
    threads: 1,
    chosen: { thread: 'worker' },
    longTasks: [],
  });
});

test('by WebGPU in a worker', { timeout: 180_000 }, async () => {
  const asked = await ask(sites.plain, { options: { device: 'webgpu' } });
  expect(asked).toMatchObject({
    text: await starAnswer(),
    name: 'webgpu',
    chosen: { thread: 'worker' },
    longTasks: [],
  });
});

test("with the caller's GPUDevice in the page", { timeout: 180_000 }, async () => {
  const asked = await ask(sites.plain, { ownGpu: true });
  expect(asked).toMatchObject({ text: await starAnswer(), name: 'webgpu', chosen: { thread: 'page' } });
});

test('in the page on request; an engine that refuses the relaxed build takes the SIMD one', async () => {
  // No flag turns relaxed SIMD off any more: half a module is refused by every engine.
  sites.plain.fault = ({ path }) =>
    path.endsWith('/kernels.relaxed.wasm') ? { kind: 'truncate', at: 0.5 } : null;
  try {
    const asked = await ask(sites.plain, { options: { device: 'wasm', thread: 'page' } });
    expect(asked).toMatchObject({ text: await starAnswer(), chosen: { thread: 'page', kernels: 'simd' } });
  } finally {
    sites.plain.fault = () => null;
  }
});

test.each(['index', 'bundle'])('a strict policy is kept (%s)', async (build) => {
  const source = `${sites.strict.origin}/${MODEL}`;
  const options = { device: 'wasm' };
  expect(await ask(sites.strict, { build, source, options })).toMatchObject({
    text: await starAnswer(),
    warnings: [],
  });
  expect(sites.strict.asked.filter(({ path }) => path === '/report')).toEqual([]);
});

test('a policy that forbids WebAssembly is named', async () => {
  const asked = ask(sites.noWasm, { options: { device: 'wasm' } });
  await expect(asked).rejects.toThrow(/BACKEND_UNAVAILABLE: .*Content-Security-Policy.*'wasm-unsafe-eval'/);
});

test('a worker file that is not served is named', async () => {
  sites.plain.fault = ({ path }) => (path.endsWith('/worker.js') ? { kind: 'status', status: 404 } : null);
  try {
    const asked = ask(sites.plain, { options: { device: 'wasm' } });
    await expect(asked).rejects.toThrow(/WORKER_FAILED: .*could not be started.*optimizeDeps/);
  } finally {
    sites.plain.fault = () => null;
  }
});

test('wrong options are refused', async () => {
  await expect(ask(sites.plain, { options: { thread: 'sideways' } })).rejects.toThrow('OPTION_INVALID');
});

test('a service worker answers, in its own thread', async () => {
  const input = {
    source: `${sites.plain.origin}/${MODEL}`,
    image: `${sites.plain.origin}/examples/images/scene.png`,
    prompt: 'Where is the red star?',
    options: { device: 'wasm' },
  };
  const { text, thread } = await inPage(sites.plain, (page) =>
    runJob<{ text: string; thread: { chosen: string; reason: string } }>(page, 'inServiceWorker', input),
  );
  expect(text).toEqual(await starAnswer());
  expect(thread).toMatchObject({ chosen: 'page', reason: 'there are no workers here' });
});

test('an extension answers, in its page and in its service worker', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'llava-sp-extension-'));
  folders.push(folder);
  await cp(join(root, 'test/browser/extension'), folder, { recursive: true });
  await cp(join(root, 'packages/browser/dist/llava-sp.js'), join(folder, 'dist/llava-sp.js'));
  await cp(join(root, MODEL), join(folder, 'model'), { recursive: true });
  const id = await browser.installExtension(folder);
  const input = {
    source: `${sites.plain.origin}/${MODEL}`,
    image: `${sites.plain.origin}/examples/images/scene.png`,
    prompt: 'Where is the red star?',
  };
  type Answering = { answer: (given: typeof input) => Promise<string> };
  const target = await browser.waitForTarget(
    (one) => one.type() === TargetType.SERVICE_WORKER && one.url().includes(id),
  );
  const worker = await target.worker();
  const answer = (given: typeof input) => (globalThis as unknown as Answering).answer(given);
  expect(await worker?.evaluate(answer, input)).toEqual(await starAnswer());
  const page = await browser.newPage();
  await page.goto(`chrome-extension://${id}/page.html`);
  await page.waitForFunction(() => 'answer' in globalThis);
  // Its own files, too.
  expect(await page.evaluate(answer, { ...input, source: 'model/' })).toEqual(await starAnswer());
  await page.close();
});
