/** What befalls the page outside of it: another browser, an old engine, a reload, a second tab. */
import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { FIREFOX, launchFirefox } from '../support/browsers.ts';
import {
  READY,
  ask,
  lastAnswer,
  loadFrom,
  modelSize,
  openTab,
  overlap,
  startPlayground,
  type Playground,
  type Tab,
} from './page.ts';

const STAR = 'Where is the red star?';
const RIGHT = 0.6;
/** Ready a page is before, too, with the model it starts with; and its line names the other one while that is loading. */
const OTHER_READY = `${READY} && document.querySelector('#model-line').textContent.includes('/model/')`;

let playground: Playground;
let tab: Tab | undefined;
beforeAll(async () => {
  playground = await startPlayground();
});
afterEach(async () => {
  await tab?.close();
  tab = undefined;
});
afterAll(() => playground?.close());

it.skipIf(!existsSync(FIREFOX))(`answers in Firefox (wants ${FIREFOX})`, async () => {
  const browser = await launchFirefox();
  try {
    tab = await openTab({ browser }, await playground.serve(), { search: '' });
    await tab.until(READY);
    await ask(tab, STAR);
    expect(await overlap(tab, 'red star')).toBeGreaterThan(RIGHT);
    expect(tab.wrong).toEqual([]);
  } finally {
    tab = undefined;
    await browser.close();
  }
});

it('takes the SIMD kernels where the engine refuses the relaxed ones', async () => {
  const site = await playground.serve();
  // Half a module is refused by every engine.
  site.halve(/kernels\.relaxed.*\.wasm$/);
  tab = await openTab(playground, site);
  await tab.until(READY);
  expect(await tab.value(`document.querySelector('#choices').textContent`)).toMatch(/kernelssimd/);
  await ask(tab, STAR);
  expect(await overlap(tab, 'red star')).toBeGreaterThan(RIGHT);
});

it('downloads a model after the page was reloaded halfway', async () => {
  const site = await playground.serve();
  tab = await openTab(playground, site);
  await tab.until(READY);
  await loadFrom(tab, `${site.address}model/`);
  await tab.until(`/[1-9]\\d* %/.test(document.querySelector('#load-text').textContent)`);
  await tab.page.reload();
  await tab.until(READY);
  await loadFrom(tab, `${site.address}model/`);
  await tab.until(OTHER_READY);
  await ask(tab, STAR);
  expect(await overlap(tab, 'red star')).toBeGreaterThan(RIGHT);
  // One whole model, and nothing of the one that was left.
  await tab.page.click('#open-model');
  const kept = `[...document.querySelectorAll('#cache-list li')].map((one) => one.textContent).join()`;
  const whole = new RegExp(`^[^,]*/model/${await modelSize()}Delete$`);
  await tab.until(`${String(whole)}.test(${kept})`);
});

it('works in two tabs at once, which download the same model', async () => {
  const site = await playground.serve();
  tab = await openTab(playground, site);
  await tab.until(READY);
  const other = await openTab(playground, site, { beside: tab });
  await other.until(READY);
  // Neither has the weights before both want them.
  site.hold('/model/model.safetensors');
  await loadFrom(other, `${site.address}model/`);
  await tab.page.bringToFront();
  await loadFrom(tab, `${site.address}model/`);
  site.release();
  await Promise.all([tab, other].map((one) => one.until(OTHER_READY)));
  expect(await ask(tab, STAR)).toMatch(/^\[0/);
  await other.page.bringToFront();
  expect(await ask(other, STAR)).toBe(await lastAnswer(tab));
  expect([...tab.wrong, ...other.wrong]).toEqual([]);
});
