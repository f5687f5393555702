/** The examples for browsers, in Chromium, as `node examples/serve.ts` serves them; and the extension, from its folder. */
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeHost } from '@llava-sp/node';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { serve } from '../../examples/serve.ts';
import { answered } from '../support/answered.ts';
import { root } from '../support/deno.ts';
import { isStar } from '../support/star.ts';
import { choose, openBrowser, textOf } from './browser.ts';
import { writeVideo } from './camera.ts';

const scene = join(root, 'examples/images/scene.png');
const demo = join(root, 'packages/demo-model/model');
/** What the model says of the scene, in Node: asked to describe it, and as a detailed caption. */
let described: string;
let captioned: string;
let server: Server;
let base: string;
let scratch: string;
let browser: Browser;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'llava-sp-examples-'));
  described = await answered((model) => model.ask(scene, 'Describe the image.').text());
  captioned = await answered((model) => model.caption(scene, { length: 'detailed' }).text());
  await writeVideo(join(scratch, 'camera.y4m'), await nodeHost.decodeImage(await readFile(scene)));
  server = await serve(0);
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  browser = await openBrowser([
    '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream',
    `--use-file-for-fake-video-capture=${join(scratch, 'camera.y4m')}`,
  ]);
});

afterAll(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
  await rm(scratch, { recursive: true, force: true });
});

/** Opens an example; what goes wrong in the page fails the test. */
async function open(example: string): Promise<Page> {
  const page = await browser.newPage();
  const errors: unknown[] = [];
  page.on('pageerror', (error) => errors.push(error));
  onTestFinished(async () => {
    await page.close();
    expect(errors).toEqual([]);
  });
  await page.goto(`${base}/${example}/`, { timeout: 30_000 });
  return page;
}

test('a script without a bundler', async () => {
  const page = await open('script-module');
  await textOf(page, '[role=status]', /runs on (wasm|webgpu)/);
  await choose(page, scene);
  await page.click('button');
  await textOf(page, '[role=status]', /^\d+ ms$/);
  expect(await textOf(page, '#answer', /./)).toEqual(described);
});

test('a script without a bundler, when a question replaces another, and without its model', async () => {
  const page = await open('script-module');
  await textOf(page, '[role=status]', /runs on (wasm|webgpu)/);
  await choose(page, scene);
  await page.evaluate(`globalThis.said = [];
    const status = document.querySelector('[role=status]');
    new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
    document.querySelector('form').requestSubmit();
    document.querySelector('form').requestSubmit()`);
  await textOf(page, '[role=status]', /^\d+ ms$/);
  // The first one says nothing any more.
  expect(await textOf(page, '#answer', /./)).toEqual(described);
  expect(await page.evaluate('said.length')).toBe(1);

  const alone = await browser.newPage();
  onTestFinished(() => alone.close());
  await alone.evaluateOnNewDocument(
    "globalThis.Worker = function () { throw new Error('no workers today') }",
  );
  await alone.goto(`${base}/script-module/`, { timeout: 30_000 });
  await textOf(alone, '[role=status]', /worker/i);
});

test("a worker of the application's own", async () => {
  const page = await open('web-worker');
  await choose(page, scene);
  // Stopped before the model is there.
  await page.evaluate(
    "document.querySelector('form').requestSubmit(), document.querySelector('[type=button]').click()",
  );
  await textOf(page, '[role=status]', /^ended by cancelled$/);
  await page.click('button:not([type])');
  await textOf(page, '[role=status]', /^ended by stop$/);
  expect(await textOf(page, '#answer', /./)).toEqual(described);
  // A file that is no picture is an error in words.
  await choose(page, join(root, 'package.json'));
  await page.click('button:not([type])');
  await textOf(page, '[role=status]', /format/i);
});

test('the camera', async () => {
  const page = await open('webcam');
  await page.click('button');
  await textOf(page, '[role=status]', /^the red star: found/);
  const box = (await page.evaluate(`(() => {
    const svg = document.querySelector('svg');
    const { width, height } = svg.viewBox.baseVal;
    const [x, y, w, h] = ['x', 'y', 'width', 'height'].map((name) => +svg.querySelector('rect').getAttribute(name));
    return [x / width, y / height, (x + w) / width, (y + h) / height];
  })()`)) as number[];
  const [x1, y1, x2, y2] = box.map((edge, i) => edge * [480, 360][i % 2]);
  expect(isStar([x1, y1, x2, y2]), box.join(' ')).toBe(true);
  await page.$eval('input', (input) => (input.value = 'the black cross'));
  await textOf(page, '[role=status]', /^the black cross: not there/);
  // Also stopped where no frames are drawn, as in a hidden tab.
  await page.evaluate('globalThis.requestAnimationFrame = () => 0');
  await new Promise((done) => setTimeout(done, 300));
  await page.evaluate("document.querySelector('button').click()");
  const stopped = "document.querySelector('video').srcObject === null";
  await page.waitForFunction(stopped, { timeout: 10_000, polling: 50 });
});

test('an extension', async () => {
  const folder = join(scratch, 'extension');
  await cp(join(root, 'examples/extension'), folder, { recursive: true });
  await cp(join(root, 'packages/browser/dist/llava-sp.js'), join(folder, 'llava-sp.js'));
  await cp(demo, join(folder, 'model'), { recursive: true });
  const own = await openBrowser([], folder);
  onTestFinished(() => own.close());
  const worker = await own.waitForTarget((target) => String(target.type()) === 'service_worker', {
    timeout: 30_000,
  });
  const context = await worker.worker();
  const image = `data:image/png;base64,${(await readFile(scene)).toString('base64')}`;
  const opened = own.waitForTarget((target) => target.url().includes('/answer.html'), { timeout: 30_000 });
  // As a click on the entry does: the menu itself is not the page's.
  await context?.evaluate(
    `chrome.contextMenus.onClicked.dispatch({ menuItemId: 'describe', srcUrl: ${JSON.stringify(image)} })`,
  );
  const page = await (await opened).page();
  if (!page) throw new Error('there is no window');
  await textOf(page, '[role=status]', /^LLaVA-SP-Cropping on \w+, \d+ ms$/);
  expect(await textOf(page, '#answer', /./)).toEqual(captioned);
});
