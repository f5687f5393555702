/** Servers of the repository's files, each an origin with headers of its own, for pages that load the built package. */
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'puppeteer-core';
import { startServer, type FaultServer } from '../download/server.ts';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const MODEL = 'packages/demo-model/model';

/** As the README names it. */
export const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; img-src 'self' blob: data:; worker-src 'self'";

export const ISOLATED = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

export async function openSite(headers: Readonly<Record<string, string>> = {}): Promise<FaultServer> {
  const server = await startServer(root);
  server.headers = (_, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  };
  return server;
}

export async function openPage(browser: Browser, { origin }: Pick<FaultServer, 'origin'>): Promise<Page> {
  const page = await browser.newPage();
  await load(page, origin);
  return page;
}

/** Also again. */
export async function load(page: Page, origin: string): Promise<void> {
  await page.goto(`${origin}/test/browser/site/index.html`, { timeout: 30_000 });
  await page.waitForFunction(() => 'run' in globalThis, { timeout: 30_000 });
}
