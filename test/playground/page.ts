/** The built playground in the system's Chromium, by servers that can be told to be slow, or to be gone. */
import { mkdtemp, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'puppeteer-core';
import { build } from 'vite';
import { launchChromium } from '../support/browsers.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** The demo model's own folder. */
export const model = join(root, 'packages/demo-model/model');
export const images = join(root, 'examples/images');
const pictures = join(root, '.cache/playground');

interface ServePlayground {
  readonly servePlayground: (folder: string, options?: { isolated?: boolean }) => RequestListener;
}

export interface Site {
  readonly address: string;
  /** Files whose names end so are not answered until {@link release}. */
  hold(end: string): void;
  /** Of files whose names match, half is served from now on. */
  halve(name: RegExp): void;
  release(): void;
  close(): Promise<void>;
}

export interface Playground {
  readonly browser: Browser;
  serve(options?: { isolated?: boolean }): Promise<Site>;
  close(): Promise<void>;
}

/** Builds the page, and starts a browser. The caller closes it. */
export async function startPlayground(): Promise<Playground> {
  const folder = await mkdtemp(join(tmpdir(), 'llava-sp-playground-'));
  const sites: Site[] = [];
  let browser: Browser | undefined;
  const close = async (): Promise<void> => {
    await browser?.close();
    for (const site of sites) await site.close();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const page = join(root, 'examples/playground');
    const configFile = join(page, 'vite.config.mjs');
    await build({ configFile, logLevel: 'error', build: { outDir: folder, emptyOutDir: true } });
    await mkdir(pictures, { recursive: true });
    const server = (await import(join(page, 'server.mjs'))) as ServePlayground;
    // A camera that shows a test picture, and a user who agrees.
    browser = await launchChromium({
      args: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
    });
    return {
      browser,
      async serve(options) {
        const site = await startSite(folder, server.servePlayground(folder, options));
        sites.push(site);
        return site;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startSite(folder: string, listener: RequestListener): Promise<Site> {
  let held: string | null = null;
  let halved: RegExp | null = null;
  let waiting: (() => void)[] = [];
  const server: Server = createServer((request, response) => {
    const { url = '/' } = request;
    const answer = (): void => {
      if (url.startsWith('/model/')) void sendModel(url, response);
      else if (halved?.test(url)) void sendHalf(join(folder, url), response);
      else listener(request, response);
    };
    if (held !== null && url.endsWith(held)) waiting.push(answer);
    else answer();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  let closed: Promise<void> | null = null;
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    hold: (end) => (held = end),
    halve: (name) => (halved = name),
    release() {
      held = null;
      for (const answer of waiting) answer();
      waiting = [];
    },
    close() {
      closed ??= new Promise((done) => server.close(() => done()));
      server.closeAllConnections();
      return closed;
    },
  };
}

async function sendHalf(file: string, response: ServerResponse): Promise<void> {
  const bytes = await readFile(file);
  response.writeHead(200, { 'content-type': 'application/wasm' }).end(bytes.subarray(0, bytes.length / 2));
}

/** The bytes of all files of the demo model, as the page's list of downloads shows them. */
export async function modelSize(): Promise<string> {
  const files = await Promise.all((await readdir(model)).map((name) => stat(join(model, name))));
  return `${(files.reduce((sum, { size }) => sum + size, 0) / 1e6).toFixed(1)} MB`;
}

/** A file of the demo model at an address of its own, over a slow line: about a second for the weights. */
async function sendModel(url: string, response: ServerResponse): Promise<void> {
  const bytes = await readFile(join(model, basename(url))).catch(() => null);
  if (!bytes) return void response.writeHead(404).end();
  response.writeHead(200, { 'content-length': bytes.length });
  for (let at = 0; at < bytes.length && !response.destroyed; at += 1 << 19) {
    response.write(bytes.subarray(at, at + (1 << 19)));
    await new Promise((done) => setTimeout(done, 120));
  }
  response.end();
}

/** A tab with the page, in a profile of its own or in that of the tab `beside`, and what went wrong in it. */
export interface Tab {
  readonly context: BrowserContext;
  readonly page: Page;
  /** Errors of scripts, breaches of the page's policy, requests to elsewhere. */
  readonly wrong: string[];
  /** Of an expression, in the page. */
  value<T>(expression: string): Promise<T>;
  /** Waits until an expression holds. */
  until(expression: string, timeout?: number): Promise<void>;
  picture(name: string): Promise<void>;
  close(): Promise<void>;
}

export async function openTab(
  { browser }: Pick<Playground, 'browser'>,
  site: Site,
  { search = '?device=wasm', width = 1280, height = 900, beside = null as Tab | null } = {},
): Promise<Tab> {
  const context = beside?.context ?? (await browser.createBrowserContext());
  const page = await context.newPage();
  const wrong: string[] = [];
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') wrong.push(message.text());
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(site.address) && !/^(blob|data):/.test(url)) wrong.push(`asked for ${url}`);
  });
  await page.setViewport({ width, height });
  await page.goto(site.address + search);
  const value = <T>(expression: string): Promise<T> => page.evaluate(expression) as Promise<T>;
  return {
    context,
    page,
    wrong,
    value,
    until: async (expression, timeout = 60_000) => {
      await page.waitForFunction(expression, { timeout, polling: 50 }).catch(async (cause: unknown) => {
        const notice = await value<string>(`document.querySelector('#notice').innerText`);
        throw new Error(`never: ${expression}; ${notice} ${wrong.join('; ')}`, { cause });
      });
    },
    async picture(name) {
      await page.screenshot({ path: `${pictures}/${name}.png` });
    },
    close: () => context.close(),
  };
}

/** The picture that a tab shows, as a PNG: of a drawing the very pixels that its model is given. */
export async function shownPicture(tab: Tab): Promise<Uint8Array> {
  const url = await tab.value<string>(`document.querySelector('#canvas').toDataURL('image/png')`);
  return Buffer.from(url.slice(url.indexOf(',') + 1), 'base64');
}

/** Begins to load a model from an address. */
export async function loadFrom(tab: Tab, address: string): Promise<void> {
  await tab.page.click('#open-model');
  await tab.page.click('[name=kind][value=address]');
  await tab.page.type('#address', address);
  await tab.page.click('#load');
  await tab.until(`document.querySelector('#model-line').textContent.includes('${address}')`);
}

export const READY = `document.querySelector('#model-line').dataset.state === 'ready'`;
const LAST = `[...document.querySelectorAll('.turn')].at(-1)`;

/** Types a question, sends it by Enter, and waits for the whole answer. */
export async function ask(tab: Tab, question: string): Promise<string> {
  const before = await tab.value<number>(`document.querySelectorAll('.turn').length`);
  await tab.page.focus('#prompt');
  await tab.page.keyboard.type(question);
  await tab.page.keyboard.press('Enter');
  await tab.until(
    `document.querySelectorAll('.turn').length > ${before} && ${LAST}.dataset.state !== 'running'`,
  );
  return lastAnswer(tab);
}

export function lastAnswer(tab: Tab): Promise<string> {
  return tab.value<string>(`${LAST}.querySelector('.answer').textContent`);
}

/** How well the first drawn box covers an object of the drawn scene: intersection over union, on the screen. */
export function overlap(tab: Tab, object: string): Promise<number> {
  return tab.value<number>(`(() => {
    const a = document.querySelector('.mark')?.getBoundingClientRect();
    const b = document.querySelector('.thing[aria-label*="${object}"]').getBoundingClientRect();
    if (!a) return 0;
    const width = Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left));
    const height = Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));
    return width * height / (a.width * a.height + b.width * b.height - width * height);
  })()`);
}

const axe = createRequire(import.meta.url).resolve('axe-core');

/** What axe-core finds, a line each. */
export async function violations(tab: Tab): Promise<string[]> {
  await tab.page.evaluate(await readFile(axe, 'utf8'));
  return tab.value<string[]>(`axe.run().then(({ violations }) => violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => id + ': ' + html.slice(0, 200) + ' ' + failureSummary)))`);
}
