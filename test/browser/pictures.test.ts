/** Pictures in every form that a page has them in: the same pixels as in Node. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nodeHost } from '@llava-sp/node';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium, runJob } from '../support/browsers.ts';
import { starAnswer } from '../support/star.ts';
import type { FaultServer } from '../download/server.ts';
import { openPage, openSite, root } from './site.ts';

const FOLDER = 'examples/images';

let site: FaultServer;
let foreign: FaultServer;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  [site, foreign] = [await openSite(), await openSite()];
  browser = await launchChromium();
  page = await openPage(browser, site);
}, 120_000);

afterAll(async () => {
  await browser.close();
  await Promise.all([site.close(), foreign.close()]);
});

async function hashInNode(name: string): Promise<string> {
  const { data, width, height } = await nodeHost.decodeImage(await readFile(join(root, name)));
  return `${width}x${height} ${createHash('sha256').update(data).digest('hex')}`;
}

test('files decode as in Node', async () => {
  const names = (await readdir(join(root, FOLDER)))
    .filter((name) => /\.(png|jpe?g|webp|avif)$/.test(name))
    .map((name) => `${FOLDER}/${name}`);
  expect(names.length).toBeGreaterThan(3);
  const expected: Record<string, string> = {};
  for (const name of names) expected[name] = await hashInNode(name);
  expect(await runJob(page, 'files', names)).toEqual(expected);
});

test('every form of a lossless picture has its pixels, as they were at the call', async () => {
  const name = `${FOLDER}/scene.png`;
  const forms = await runJob<Record<string, string>>(page, 'forms', name);
  const kinds = ['blob', 'canvas', 'offscreen', 'svg', 'image', 'bitmap', 'frame', 'data'];
  const expected = await hashInNode(name);
  expect(forms).toEqual(Object.fromEntries(kinds.map((kind) => [kind, expected])));
});

test('what can not be read is named; what is no file is drawn', async () => {
  const codes = await runJob(page, 'odd', `${foreign.origin}/${FOLDER}/scene.png`);
  expect(codes).toEqual({
    svg: '30x20 0 0 255 255',
    // Given another address at once.
    changed: '30x20 0 0 255 255',
    // Not premultiplied: core flattens it over white.
    alpha: '1x1 255 0 0 128',
    tainted: 'IMAGE_TAINTED',
    taintedCanvas: 'IMAGE_TAINTED',
    closed: 'IMAGE_EMPTY',
    video: 'IMAGE_INVALID',
    playing: '64x48 255 255 255 255',
    broken: 'IMAGE_INVALID',
    empty: 'IMAGE_INVALID',
    other: null,
  });
});

test('questions take them', async () => {
  const answer = await starAnswer();
  const texts = await runJob<string[]>(page, 'askAbout');
  expect(texts).toEqual([answer, answer, answer]);
  expect(new Set(texts).size).toBe(1);
});
