import { load, type Model } from '@llava-sp/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  READY,
  ask,
  lastAnswer,
  loadFrom,
  model,
  openTab,
  overlap,
  shownPicture,
  startPlayground,
  violations,
  type Playground,
  type Site,
  type Tab,
} from './page.ts';

const STAR = 'Where is the red star?';
const COUNT = 'How many red objects are there?';
const BOX = /^\[\d\.\d\d(, \d\.\d\d){3}\]$/;
/** Boxes overlap by more than this; a box that forgets the padding does not. */
const RIGHT = 0.6;

let playground: Playground;
/** In Node, as the page's own answers. */
let inNode: Model;
beforeAll(async () => {
  playground = await startPlayground();
});
afterAll(async () => {
  await playground?.close();
  await inNode?.dispose();
});

/** Where on the screen an object of the drawn scene has its centre. */
function centre(tab: Tab, object: string): Promise<{ x: number; y: number }> {
  return tab.value(`(() => {
    const box = document.querySelector('.thing[aria-label*="${object}"]').getBoundingClientRect();
    return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  })()`);
}

describe('the playground on WASM, not isolated', () => {
  let site: Site;
  let tab: Tab;
  beforeAll(async () => {
    site = await playground.serve();
    tab = await openTab(playground, site);
    await tab.until(READY);
    // The build that the page's measurement took: the other one rounds otherwise.
    const choices = await tab.value<string>(`document.querySelector('#choices').textContent`);
    const kernels = choices.includes('kernelssimd') ? 'simd' : 'relaxed';
    inNode = await load(model, { device: 'wasm', threads: 1, kernels });
  });
  afterAll(() => tab?.close());

  it('streams an answer and draws the box where the star is', async () => {
    // How the answer's text changed, piece by piece.
    await tab.value(`globalThis.seen = new Set();
      new MutationObserver(() => document.querySelectorAll('.answer').forEach((one) => seen.add(one.textContent)))
        .observe(document.querySelector('#log'), { childList: true, subtree: true, characterData: true })`);
    expect(await ask(tab, STAR)).toMatch(BOX);
    expect(await tab.value<number>('seen.size')).toBeGreaterThan(2);
    expect(await overlap(tab, 'red star')).toBeGreaterThan(RIGHT);
    expect(await tab.value('crossOriginIsolated')).toBe(false);
    expect(await tab.value(`document.querySelector('#time-rate').textContent`)).toMatch(/^\d+$/);
    await tab.picture('answer');
  });

  it('asks again when an object was dragged, and the box follows', async () => {
    const before = await lastAnswer(tab);
    const from = await centre(tab, 'red star');
    const ring = await centre(tab, 'green heart');
    await tab.page.mouse.move(from.x, from.y);
    await tab.page.mouse.down();
    await tab.page.mouse.move((from.x + ring.x) / 2 - 90, ring.y, { steps: 5 });
    // What was found is gone as soon as it moves.
    expect(await tab.value(`document.querySelectorAll('.mark').length`)).toBe(0);
    await tab.page.mouse.move(ring.x - 190, ring.y + 30, { steps: 5 });
    await tab.page.mouse.up();
    await tab.until(`document.querySelector('.mark') !== null`);
    await tab.until(`document.querySelector('.turn').dataset.state === 'done'`);
    const to = await centre(tab, 'red star');
    expect(Math.hypot(to.x - from.x, to.y - from.y)).toBeGreaterThan(100);
    expect(await lastAnswer(tab)).not.toBe(before);
    expect(await overlap(tab, 'red star')).toBeGreaterThan(RIGHT);
    // The same turn has the new answer.
    expect(await tab.value(`document.querySelectorAll('.turn').length`)).toBe(1);
  });

  it('keeps the turns of a conversation', async () => {
    using chat = inNode.chat(await shownPicture(tab));
    expect(await lastAnswer(tab)).toBe(await chat.ask(STAR).text());
    expect(await ask(tab, COUNT)).toBe(await chat.ask(COUNT).text());
    expect(await tab.value(`[...document.querySelectorAll('.turn')].at(-1).innerText`)).toMatch(
      /known already/,
    );
  });

  it('finds many phrases, and says what is not there', async () => {
    await tab.page.click('#tab-find');
    await tab.page.click('#find');
    await tab.until(`document.querySelectorAll('.found').length === 3`);
    const found = await tab.value<string[]>(
      `[...document.querySelectorAll('.found')].map((one) => one.innerText)`,
    );
    expect(found.map((line) => line.split('\n')[0]).sort()).toEqual([
      'the black cross',
      'the green heart',
      'the red star',
    ]);
    expect(found.find((line) => line.startsWith('the red star'))).not.toContain('not there');
    expect(found.find((line) => line.startsWith('the black cross'))).toContain('not there');
    const there = found.filter((line) => !line.includes('not there'));
    expect(await tab.value(`document.querySelectorAll('.mark').length`)).toBe(there.length);
    expect(await violations(tab)).toEqual([]);
    await tab.picture('find');
  });

  it('shows where each spatial token looks', async () => {
    await tab.page.click('#tab-heat');
    await tab.until(`!document.querySelector('#heat-controls').hidden`);
    expect(await tab.value(`document.querySelectorAll('#tokens input').length`)).toBe(6);
    const pixels = `(() => {
      const canvas = document.querySelector('#heat-canvas');
      return canvas.hidden ? '' : [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data].join();
    })()`;
    const first = await tab.value<string>(pixels);
    // Windows grow from token to token: the last one is the whole grid.
    const widths: number[] = [];
    for (let token = 0; token < 6; token++) {
      await tab.page.click(`#tokens label:nth-child(${token + 1})`);
      widths.push(await tab.value(`document.querySelector('.window').getBoundingClientRect().width`));
    }
    expect(widths).toEqual([...widths].sort((a, b) => a - b));
    expect(widths[5]).toBeCloseTo(await tab.value(`document.querySelector('#stage').clientWidth`), 0);
    const last = await tab.value<string>(pixels);
    expect(new Set(last.split(',')).size).toBeGreaterThan(20);
    expect(last).not.toBe(first);
    expect(await violations(tab)).toEqual([]);
    await tab.picture('heat');
  });

  it('has no axe violation in light, dark and at phone size, with results shown', async () => {
    await tab.page.click('#tab-ask');
    await tab.page.click('#caption-short');
    await tab.until(
      `document.querySelectorAll('.turn').length === 3 && !document.body.classList.contains('busy')`,
    );
    expect(await lastAnswer(tab)).toBe(await inNode.caption(await shownPicture(tab)).text());
    await tab.page.click('summary');
    expect(await violations(tab)).toEqual([]);
    await tab.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
    expect(await violations(tab)).toEqual([]);
    await tab.picture('dark');
    await tab.page.setViewport({ width: 360, height: 740 });
    expect(await violations(tab)).toEqual([]);
    // Nothing is wider than the screen.
    expect(await tab.value('document.documentElement.scrollWidth')).toBe(360);
    await tab.picture('phone-dark');
    // The picture and the question are seen together: the tools are folded away until they are wanted.
    const tools = `document.querySelector('#tools').checkVisibility()`;
    expect(await tab.value(tools)).toBe(false);
    const together = `document.querySelector('#ask-form').getBoundingClientRect().bottom -
      document.querySelector('#stage').getBoundingClientRect().top`;
    expect(await tab.value(together)).toBeLessThan(740);
    await tab.page.focus('#edit');
    await tab.page.keyboard.press('Enter');
    expect(await tab.value(tools)).toBe(true);
    expect(await violations(tab)).toEqual([]);
    await tab.page.keyboard.press('Enter');
    expect(await tab.value(tools)).toBe(false);
    await tab.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'light' }]);
    await tab.page.click('#open-model');
    await tab.until(`document.querySelector('#cache-sum').textContent !== ''`);
    expect(await violations(tab)).toEqual([]);
    await tab.picture('phone-dialog');
    await tab.page.keyboard.press('Escape');
  });

  it('works on, after an answer and a load were cancelled', async () => {
    await tab.page.setViewport({ width: 1280, height: 900 });
    // An answer takes a few milliseconds: it is stopped the moment that it can be.
    await tab.value(`new MutationObserver((_, observer) => {
      if (document.querySelector('#stop').hidden) return;
      observer.disconnect();
      document.querySelector('#stop').click();
    }).observe(document.querySelector('#stop'), { attributes: true })`);
    await ask(tab, 'Describe the image.');
    expect(await tab.value(`[...document.querySelectorAll('.turn')].at(-1).dataset.state`)).toBe('stopped');
    expect(await ask(tab, STAR)).toMatch(BOX);

    // A conversation that begins looks at its picture: stopping its first question stops that, too.
    await tab.value(`globalThis.sent = [];
      const post = Worker.prototype.postMessage;
      Worker.prototype.postMessage = function (message, ...rest) {
        sent.push(message);
        post.call(this, message, ...rest);
        if (message.type === 'look') document.querySelector('#stop').click();
      };`);
    await tab.page.click('#clear');
    await ask(tab, 'Describe the image.');
    expect(await tab.value(`[...document.querySelectorAll('.turn')].at(-1).dataset.state`)).toBe('stopped');
    expect(
      await tab.value(`sent.filter(({ type, id }) =>
        type === 'abort' && id === sent.find(({ type }) => type === 'look').id).length`),
    ).toBe(1);
    await tab.value(`Worker.prototype.postMessage = post, undefined`);
    expect(await ask(tab, COUNT)).toBe(await inNode.ask(await shownPicture(tab), COUNT).text());

    // The model that there was stays.
    site.hold('config.json');
    await loadFrom(tab, `${site.address}no-such-model/`);
    await tab.page.click('#cancel-load');
    await tab.until(READY);
    expect(await ask(tab, STAR)).toMatch(BOX);

    // One that is not there is said so, and leaves the other one too.
    site.release();
    await tab.page.click('#open-model');
    await tab.page.click('#load');
    await tab.until(`!document.querySelector('#notice').hidden`);
    expect(await tab.value(`document.querySelector('#notice-code').textContent`)).toMatch(/^[A-Z_]+$/);
    await tab.until(READY);
    expect(await ask(tab, STAR)).toMatch(BOX);
  });

  it('asked nobody else for anything, and broke no rule of its policy', () => {
    // The address that was not there is the one expected error.
    expect(tab.wrong.filter((what) => !/404|Failed to load resource/.test(what))).toEqual([]);
  });
});
