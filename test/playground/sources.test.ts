import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ElementHandle } from 'puppeteer-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { starAnswer, WHERE } from '../support/star.ts';
import {
  READY,
  ask,
  images,
  loadFrom,
  model,
  modelSize,
  openTab,
  startPlayground,
  type Playground,
  type Site,
  type Tab,
} from './page.ts';

let playground: Playground;
let site: Site;
let tab: Tab;
beforeAll(async () => {
  playground = await startPlayground();
  site = await playground.serve();
  tab = await openTab(playground, site);
  await tab.until(READY);
});
afterAll(() => playground?.close());

const SHOWN = `document.querySelector('#canvas').getAttribute('aria-label')`;

async function choose(selector: string, ...paths: string[]): Promise<void> {
  const input = (await tab.page.$(selector)) as ElementHandle<HTMLInputElement> | null;
  if (!input) throw new Error(`there is no ${selector}`);
  await input.uploadFile(...paths);
}

/** A file in the page, as `globalThis.transfer`: what a drop and the clipboard carry. */
async function carry(name: string): Promise<void> {
  const bytes = (await readFile(join(images, name))).toString('base64');
  await tab.value(`globalThis.transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob('${bytes}'), (c) => c.charCodeAt(0))], '${name}', { type: 'image/png' }));
    undefined`);
}

it('asks about a file: chosen, pasted, dropped', async () => {
  await choose('#picture-file', join(images, 'scene.png'));
  await tab.until(`${SHOWN} === 'scene.png'`);
  expect(await ask(tab, WHERE)).toEqual(await starAnswer());
  expect(await tab.value(`document.querySelector('#editor').hidden`)).toBe(true);

  await carry('tall.png');
  await tab.value(
    `document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer })), undefined`,
  );
  await tab.until(`${SHOWN} === 'Pasted picture'`);

  await carry('scene.png');
  const drop = (type: string): string =>
    `document.dispatchEvent(new DragEvent('${type}', { dataTransfer: transfer, cancelable: true }))`;
  await tab.value(drop('dragenter'));
  expect(await tab.value(`document.querySelector('#drop').hidden`)).toBe(false);
  await tab.value(drop('drop'));
  await tab.until(`${SHOWN} === 'scene.png'`);
  expect(await ask(tab, WHERE)).toEqual(await starAnswer());

  // What is no picture is said so, and the picture stays.
  await choose('#picture-file', join(model, 'config.json'));
  await tab.until(`!document.querySelector('#notice').hidden`);
  expect(await tab.value(SHOWN)).toBe('scene.png');
});

it('takes a picture with the camera, and lets go of it', async () => {
  await tab.page.click('#camera');
  await tab.until(`!document.querySelector('#shutter').disabled`);
  await tab.value(
    `globalThis.track = document.querySelector('#camera-video').srcObject.getTracks()[0], undefined`,
  );
  await tab.page.click('#shutter');
  expect(await tab.value(SHOWN)).toBe('A picture from the camera');
  await tab.until(`track.readyState === 'ended'`);
  expect(await ask(tab, 'Describe the image.')).not.toBe('');
  // Back at the drawing.
  await tab.page.click('#draw');
  expect(await tab.value(`document.querySelectorAll('.thing').length`)).toBe(4);
});

it('lets go of a camera whose dialog was closed before the user agreed', async () => {
  // The user agrees twice, after the dialog was closed and opened again.
  await tab.value(`globalThis.agree = [], globalThis.streams = [];
    const { mediaDevices } = navigator;
    const real = mediaDevices.getUserMedia.bind(mediaDevices);
    mediaDevices.getUserMedia = async (wanted) => {
      await new Promise((done) => agree.push(done));
      streams.push(await real(wanted));
      return streams.at(-1);
    }, undefined`);
  await tab.page.click('#camera');
  await tab.page.click('#camera-close');
  await tab.page.click('#camera');
  await tab.value('agree.forEach((done) => done()), undefined');
  await tab.until(`!document.querySelector('#shutter').disabled`);
  const states = 'streams.map((stream) => stream.getTracks()[0].readyState)';
  expect(await tab.value(states)).toEqual(['ended', 'live']);
  expect(await tab.value(`document.querySelector('#camera-video').srcObject === streams[1]`)).toBe(true);
  await tab.page.click('#camera-close');
  await tab.until(`${states}.join() === 'ended,ended'`);
});

it('loads a model from an address, shows how far it is, keeps it, and deletes it', async () => {
  const name = `${site.address}model/`;
  await tab.value(`globalThis.texts = [];
    new MutationObserver(() => texts.push(document.querySelector('#load-text').textContent))
      .observe(document.querySelector('#load-text'), { childList: true, characterData: true, subtree: true })`);
  await loadFrom(tab, name);
  await tab.until(READY);
  const texts = await tab.value<string[]>('texts');
  expect(
    texts.some((text) => /Downloading · .* of \d+\.\d MB · .*B\/s · \d+ s left · \d+ %/.test(text)),
    texts.join('; '),
  ).toBe(true);
  expect(await tab.value(`document.querySelector('#model-line').textContent`)).toContain(name);

  await tab.page.click('#open-model');
  await tab.until(`document.querySelectorAll('#cache-list li').length === 1`);
  expect(await tab.value(`document.querySelector('#cache-list li').innerText`)).toMatch(
    new RegExp(`/model/?\\s+${await modelSize()}\\s+Delete`),
  );
  await tab.page.click('#cache-list button');
  await tab.until(`document.querySelectorAll('#cache-list li').length === 0`);
  await tab.page.keyboard.press('Escape');
  // It is loaded: that its files are gone is nothing to it.
  expect(await ask(tab, WHERE)).toMatch(/^\[/);
});

it('loads a model from a folder', async () => {
  await tab.page.click('#open-model');
  await tab.page.click('[name=kind][value=folder]');
  await choose('#folder', model);
  await tab.page.click('#load');
  await tab.until(`${READY} && document.querySelector('#model-line').textContent.startsWith('model ·')`);
  expect(await ask(tab, WHERE)).toMatch(/^\[/);
  expect(tab.wrong).toEqual([]);
});
