/** Models that come into the storage of an origin by the built package's worker: tabs, reloads, a full disk, no network. */
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { load as loadInNode } from '@llava-sp/node';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { launchChromium, runJob } from '../support/browsers.ts';
import type { FaultServer } from '../download/server.ts';
import { ANSWER, load, MODEL, openPage, openSite, root } from './site.ts';

const WEIGHTS = `/${MODEL}/model.safetensors`;

let site: FaultServer;
let browser: Browser;
let page: Page;
let input: { source: string; options: { device: string } };

beforeAll(async () => {
  site = await openSite();
  input = { source: `${site.origin}/${MODEL}`, options: { device: 'wasm' } };
  browser = await launchChromium();
  page = await openPage(browser, site);
}, 120_000);

afterAll(async () => {
  await browser.close();
  await site.close();
});

afterEach(async () => {
  site.fault = () => null;
  await load(page, site.origin);
  await runJob(page, 'forget');
  site.asked.length = 0;
});

const gets = () => site.asked.filter(({ method, path }) => method === 'GET' && path === WEIGHTS);

test('two tabs that load at once download a model once', async () => {
  const other = await openPage(browser, site);
  const asked = await Promise.all([page, other].map((one) => runJob(one, 'ask', input)));
  await other.close();
  expect(asked).toMatchObject([{ text: ANSWER }, { text: ANSWER }]);
  expect(gets()).toHaveLength(1);
});

test('a second visit needs no server', async () => {
  await runJob(page, 'ask', input);
  const before = site.asked.filter(({ path }) => path.includes(MODEL)).length;
  await load(page, site.origin);
  expect(await runJob(page, 'ask', input)).toMatchObject({ text: ANSWER, warnings: [] });
  expect(site.asked.filter(({ path }) => path.includes(MODEL))).toHaveLength(before);
});

test('a page that is loaded again goes on with its download', async () => {
  site.fault = ({ path }) => (path === WEIGHTS ? { kind: 'stall', at: 0.6 } : null);
  const dying = runJob(page, 'ask', input).catch(() => 'gone');
  await vi.waitFor(() => expect(gets()).toHaveLength(1), { timeout: 20_000 });
  await sleep(500);
  await load(page, site.origin);
  expect(await dying).toBe('gone');
  site.fault = () => null;
  expect(await runJob(page, 'ask', input)).toMatchObject({ text: ANSWER });
  const [, second] = gets();
  expect(Number(/\d+/.exec(second.range ?? '')?.[0])).toBeGreaterThan(1_000_000);
});

test('a model for which there is no room is loaded all the same, and said to be', async () => {
  const cdp = await page.createCDPSession();
  const { origin } = site;
  await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1_000_000 });
  try {
    const { text, warnings } = await runJob<{ text: string; warnings: { code: string; message: string }[] }>(
      page,
      'ask',
      input,
    );
    expect(text).toBe(ANSWER);
    expect(warnings).toMatchObject([{ code: 'MODEL_NOT_CACHED' }]);
    expect(warnings[0].message).toMatch(/no room|needs \d+ more bytes/);
  } finally {
    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
  }
});

test('an answer goes on over a crash of the GPU process', { timeout: 240_000 }, async () => {
  // Of a model that always talks to the end.
  const folder = 'test/golden/cropping';
  const picture = 'examples/images/scene.png';
  const prompt = 'What is in the picture?';
  const options = { maxTokens: 48 };
  const model = await loadInNode(join(root, folder), { device: 'wasm' });
  const expected = await model.ask(join(root, picture), prompt, options).text();
  await model.dispose();
  const cdp = await browser.target().createCDPSession();
  await page.exposeFunction('afterFirst', () => cdp.send('Browser.crashGpuProcess'));
  const asked = await runJob<{ warnings: { code: string }[] }>(page, 'ask', {
    source: `${site.origin}/${folder}`,
    options: { device: 'webgpu' },
    prompt,
    ask: options,
  });
  expect(asked).toMatchObject({ text: expected, name: 'webgpu', chosen: { thread: 'worker' } });
  expect(asked.warnings.map(({ code }) => code)).toEqual(['DEVICE_RECOVERED']);
});
