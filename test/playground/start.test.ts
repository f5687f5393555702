import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { READY, ask, openTab, overlap, startPlayground, type Playground, type Tab } from './page.ts';

const STAR = 'Where is the red star?';
const RIGHT = 0.6;

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

it('runs isolated, with threads', async () => {
  tab = await openTab(playground, await playground.serve({ isolated: true }));
  await tab.until(READY);
  expect(await tab.value('crossOriginIsolated')).toBe(true);
  await ask(tab, STAR);
  expect(await overlap(tab, 'red star')).toBeGreaterThan(RIGHT);
  const threads = await tab.value<number>('navigator.hardwareConcurrency');
  const line = await tab.value<string>(`document.querySelector('#device-line').textContent`);
  if (threads > 1) expect(line).toMatch(/\d+ threads/);
  expect(tab.wrong).toEqual([]);
});

it('runs on WebGPU, and says why', async () => {
  tab = await openTab(playground, await playground.serve(), { search: '?device=webgpu' });
  await tab.until(READY, 100_000);
  await ask(tab, STAR);
  expect(await overlap(tab, 'red star')).toBeGreaterThan(RIGHT);
  expect(await tab.value(`document.querySelector('#model-line').textContent`)).toContain('webgpu');
  expect(await tab.value(`document.querySelector('#choices').textContent`)).toMatch(/swiftshader/i);

  // A crash of the GPU's process costs time, not the answer.
  const browser = await playground.browser.target().createCDPSession();
  await browser.send('Browser.crashGpuProcess');
  await tab.page.click('#clear');
  await ask(tab, STAR);
  expect(await overlap(tab, 'red star')).toBeGreaterThan(RIGHT);
  expect(await tab.value(`document.querySelector('#warnings').textContent`)).toMatch(/lost|recover/i);
  expect(tab.wrong).toEqual([]);
});

it('can be used after the first load was cancelled', async () => {
  const site = await playground.serve();
  site.hold('.safetensors');
  tab = await openTab(playground, site);
  await tab.until(`!document.querySelector('#loading').hidden`);
  await tab.page.click('#cancel-load');
  await tab.until(`document.querySelector('#model-line').dataset.state === 'none'`);
  // Asking without a model says so.
  await ask(tab, STAR);
  expect(await tab.value(`document.querySelector('#notice-text').textContent`)).toMatch(/no model/i);
  site.release();
  await tab.page.click('#open-model');
  await tab.page.click('#load');
  await tab.until(READY);
  await ask(tab, STAR);
  expect(await overlap(tab, 'red star')).toBeGreaterThan(RIGHT);
});

it('can be used by keys alone', async () => {
  tab = await openTab(playground, await playground.serve());
  await tab.until(READY);
  const { keyboard } = tab.page;
  const focused = (): Promise<string> =>
    tab?.value<string>('document.activeElement.id') ?? Promise.resolve('');
  /** Tab until the element has the focus. */
  const goTo = async (id: string): Promise<void> => {
    for (let i = 0; i < 80; i++) {
      if ((await focused()) === id) return;
      await keyboard.press('Tab');
    }
    throw new Error(`Tab does not come to #${id}`);
  };
  const star = `document.querySelector('#thing-1')`;
  const place = `[${star}.offsetLeft, ${star}.offsetTop, ${star}.offsetWidth]`;

  // The first stop skips what comes before the question.
  await keyboard.press('Tab');
  await keyboard.press('Enter');
  expect(await focused()).toBe('prompt');
  await keyboard.type(STAR);
  await keyboard.press('Enter');
  await tab.until(`document.querySelector('.mark') !== null && !document.body.classList.contains('busy')`);
  await tab.until(`document.querySelector('#status').textContent.startsWith('Answer: [')`);

  await tab.value('document.activeElement.blur(), document.body.focus(), scrollTo(0, 0)');
  await goTo('thing-1');
  const [left, top, width] = await tab.value<number[]>(place);
  for (let i = 0; i < 6; i++) await keyboard.press('ArrowDown');
  await keyboard.down('Shift');
  await keyboard.press('ArrowLeft');
  await keyboard.up('Shift');
  for (let i = 0; i < 5; i++) await keyboard.press('-');
  const moved = await tab.value<number[]>(place);
  expect(moved[0]).toBeLessThan(left);
  expect(moved[1]).toBeGreaterThan(top);
  expect(moved[2]).toBeLessThan(width);
  await tab.until(`document.querySelector('.mark') !== null && !document.body.classList.contains('busy')`);
  expect(await overlap(tab, 'red star')).toBeGreaterThan(RIGHT);

  // Another object: added, coloured, removed again.
  await goTo('add');
  await keyboard.press('Enter');
  const added = await focused();
  expect(added).toMatch(/^thing-/);
  expect(await tab.value(`document.querySelectorAll('.thing').length`)).toBe(5);
  await keyboard.press('Delete');
  expect(await tab.value(`document.querySelector('#${added}')`)).toBe(null);
  expect(await focused()).toMatch(/^thing-/);

  await goTo('tab-ask');
  await keyboard.press('ArrowRight');
  expect(await focused()).toBe('tab-find');
  await goTo('find');
  await keyboard.press('Enter');
  await tab.until(`document.querySelectorAll('.found').length === 3`);

  await tab.page.focus('#open-model');
  await keyboard.press('Enter');
  expect(await tab.value(`document.querySelector('#model-dialog').open`)).toBe(true);
  await keyboard.press('Escape');
  expect(await focused()).toBe('open-model');
  expect(tab.wrong).toEqual([]);
});

it('works without the server after the first visit', async () => {
  const site = await playground.serve();
  tab = await openTab(playground, site);
  await tab.until(READY);
  await tab.until(`document.querySelector('#offline').textContent === 'Works offline'`);
  await tab.until(`navigator.serviceWorker.controller !== null`);
  await site.close();
  await tab.page.reload();
  await tab.until(READY);
  await ask(tab, STAR);
  expect(await overlap(tab, 'red star')).toBeGreaterThan(RIGHT);
  // Everything else that the page has, too.
  await tab.page.click('.example');
  await tab.until(`document.querySelector('#editor').hidden`);
  expect(await ask(tab, 'What do you see?')).not.toBe('');
  expect(tab.wrong).toEqual([]);
});
