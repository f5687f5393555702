/** Chromium for the examples. */
import { launch, type Browser, type ElementHandle, type Page } from 'puppeteer-core';

export function openBrowser(args: readonly string[] = [], extension?: string): Promise<Browser> {
  return launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', ...args],
    ...(extension === undefined ? {} : { enableExtensions: [extension], pipe: true }),
    timeout: 60_000,
    protocolTimeout: 120_000,
  });
}

/** The text of an element, once it matches. */
export async function textOf(page: Page, selector: string, pattern: RegExp): Promise<string> {
  const { source } = pattern;
  const found = `new RegExp(${JSON.stringify(source)}).test(document.querySelector(${JSON.stringify(selector)}).textContent)`;
  const now = (): Promise<string> =>
    page.evaluate(`document.querySelector(${JSON.stringify(selector)}).textContent`) as Promise<string>;
  await page.waitForFunction(found, { timeout: 40_000 }).catch(async (cause: unknown) => {
    throw new Error(`${selector} says "${await now()}", not ${source}`, { cause });
  });
  return now();
}

/** Chooses a file in the page's dialog. */
export async function choose(page: Page, file: string): Promise<void> {
  const input = (await page.$('input[type=file]')) as ElementHandle<HTMLInputElement>;
  await input.uploadFile(file);
}
