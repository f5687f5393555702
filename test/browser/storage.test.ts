/** Models that come into the storage of an origin by the built package's worker: tabs, reloads, a full disk, no network. */
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { load as loadInNode } from '@llava-sp/node';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { launchChromium, runJob } from '../support/browsers.ts';
import { starAnswer } from '../support/star.ts';
import type { FaultServer } from '../download/server.ts';
import { load, MODEL, openPage, openSite, root } from './site.ts';

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
  const text = await starAnswer();
  expect(asked).toMatchObject([{ text }, { text }]);
  expect(gets()).toHaveLength(1);
});

test('a second visit needs no server', async () => {
  await runJob(page, 'ask', input);
  const before = site.asked.filter(({ path }) => path.includes(MODEL)).length;
  await load(page, site.origin);
  expect(await runJob(page, 'ask', input)).toMatchObject({ text: await starAnswer(), warnings: [] });
  expect(site.asked.filter(({ path }) => path.includes(MODEL))).toHaveLength(before);
});

test('what a dying worker still holds is deleted as soon as it lets go', async () => {
  await runJob(page, 'ask', input);
  await runJob(page, 'forgetHeld', 500);
  expect(await runJob(page, 'cached')).toEqual([]);
});

test('what another page goes on holding is said, not waited for without an end', async () => {
  await runJob(page, 'ask', input);
  await expect(runJob(page, 'forgetHeld', 10_000)).rejects.toThrow(/^CACHE_UNAVAILABLE/);
});

test('a page that is loaded again goes on with its download', async () => {
  site.fault = ({ path }) => (path === WEIGHTS ? { kind: 'stall', at: 0.6 } : null);
  const dying = runJob(page, 'ask', input).catch(() => 'gone');
  await vi.waitFor(() => expect(gets()).toHaveLength(1), { timeout: 20_000 });
  await sleep(500);
  await load(page, site.origin);
  expect(await dying).toBe('gone');
  site.fault = () => null;
  expect(await runJob(page, 'ask', input)).toMatchObject({ text: await starAnswer() });
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
    expect(text).toEqual(await starAnswer());
    expect(warnings).toMatchObject([{ code: 'MODEL_NOT_CACHED' }]);
    expect(warnings[0].message).toMatch(/no room|needs \d+ more bytes/);
  } finally {
    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
  }
});

test('answers go on over a crash of the GPU process', { timeout: 240_000 }, async () => {
  // A model that talks long about this one.
  const folder = 'test/golden/cropping';
  const data = Array.from({ length: 40 * 30 * 3 }, (_, i) => (i * 37) % 251);
  const image = { data, width: 40, height: 30 };
  const prompt = 'What is in the picture?';
  const options = { maxTokens: 48 };
  const model = await loadInNode(join(root, folder), { device: 'wasm' });
  const expected = await model.ask({ ...image, data: Uint8Array.from(data) }, prompt, options).text();
  expect(expected).not.toBe('');
  await model.dispose();
  const cdp = await browser.target().createCDPSession();
  await page.exposeFunction('afterFirst', async () => {
    await cdp.send('Browser.crashGpuProcess');
    // Until the browser has noticed.
    await sleep(500);
  });
  const asked = await runJob<{ warnings: { code: string }[] }>(page, 'askTwice', {
    source: `${site.origin}/${folder}`,
    options: { device: 'webgpu' },
    image,
    prompt,
    ask: options,
  });
  // The worker is ahead of what the page has heard: the crash meets the first answer or the second.
  expect(asked).toMatchObject({ texts: [expected, expected], backend: 'webgpu' });
  expect(asked.warnings.map(({ code }) => code)).toEqual(['DEVICE_RECOVERED']);
});
