/** The built package in Firefox: WASM in a worker, its storage, its decoders. */
import { existsSync } from 'node:fs';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FIREFOX, launchFirefox, runJob } from '../support/browsers.ts';
import { starAnswer } from '../support/star.ts';
import type { FaultServer } from '../download/server.ts';
import { ISOLATED, MODEL, openPage, openSite, POLICY } from './site.ts';

describe.skipIf(!existsSync(FIREFOX))(`in Firefox (wants ${FIREFOX})`, () => {
  let site: FaultServer;
  let strict: FaultServer;
  let browser: Browser;

  beforeAll(async () => {
    site = await openSite();
    strict = await openSite({ ...ISOLATED, 'content-security-policy': POLICY });
    browser = await launchFirefox();
  }, 120_000);

  afterAll(async () => {
    await browser.close();
    await Promise.all([site.close(), strict.close()]);
  });

  async function inPage<T>(of: FaultServer, work: (page: Page) => Promise<T>): Promise<T> {
    const page = await openPage(browser, of);
    try {
      return await work(page);
    } finally {
      await page.close();
    }
  }

  test('isolated, under a strict policy, from one module', async () => {
    const source = `${strict.origin}/${MODEL}`;
    const input = { build: 'bundle', source, options: { device: 'wasm' } };
    const asked = await inPage(strict, (page) => runJob<{ threads: number }>(page, 'ask', input));
    expect(asked).toMatchObject({ text: await starAnswer(), chosen: { thread: 'worker' }, warnings: [] });
    expect(asked.threads).toBeGreaterThan(1);
  });

  test('a model is kept, and loaded without its server', async () => {
    const source = `${site.origin}/${MODEL}`;
    const input = { source, options: { device: 'auto' } };
    const first = await inPage(site, (page) => runJob(page, 'ask', input));
    expect(first).toMatchObject({ text: await starAnswer(), name: 'wasm', threads: 1 });
    const asked = site.asked.filter(({ path }) => path.includes(MODEL)).length;
    site.fault = ({ path }) => (path.includes(MODEL) ? { kind: 'drop', at: 0 } : null);
    const second = await inPage(site, (page) => runJob(page, 'ask', input));
    expect(second).toMatchObject({ text: await starAnswer(), threads: 1 });
    site.fault = () => null;
    expect(site.asked.filter(({ path }) => path.includes(MODEL))).toHaveLength(asked);
  });

  test('pictures of its canvases', async () => {
    const texts = await inPage(site, (page) => runJob<string[]>(page, 'askAbout'));
    const answer = await starAnswer();
    expect(texts).toEqual([answer, answer, answer]);
    expect(new Set(texts).size).toBe(1);
  });
});
