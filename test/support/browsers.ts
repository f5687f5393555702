/** The browsers of the system, and what a page of the tests asks of them. */
import { launch, type Browser, type LaunchOptions, type Page } from 'puppeteer-core';

const COMMON: LaunchOptions = { timeout: 60_000, protocolTimeout: 600_000 };

/** Its WebGPU is SwiftShader. */
export function launchChromium({ args = [], ...options }: LaunchOptions = {}): Promise<Browser> {
  return launch({
    ...COMMON,
    ...options,
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--enable-unsafe-webgpu',
      '--use-webgpu-adapter=swiftshader',
      // A test may crash the GPU process as often as it likes.
      '--disable-domain-blocking-for-3d-apis',
      '--disable-gpu-process-crash-limit',
      ...args,
    ],
  });
}

export const FIREFOX = '/usr/bin/firefox-esr';

export function launchFirefox(): Promise<Browser> {
  return launch({ ...COMMON, browser: 'firefox', executablePath: FIREFOX });
}

/** What `test/browser/site/page.js` gives back. */
type Outcome<T> =
  | { readonly value: T; readonly error?: undefined }
  | { readonly error: { name: string; code?: string; message: string; fix?: string; stack: string } };

/** Runs a job of `test/browser/site/jobs.js`; what it throws comes as an error with the code in its message. */
export async function runJob<T>(page: Page, job: string, input?: unknown): Promise<T> {
  const outcome = (await page.evaluate(
    (name, given) =>
      (globalThis as unknown as { run: (name: string, input: unknown) => Promise<unknown> }).run(name, given),
    job,
    input,
  )) as Outcome<T>;
  if (!outcome.error) return outcome.value;
  const { code, message, fix, stack } = outcome.error;
  throw new Error(`${code ?? 'unexpected'}: ${message} (${fix})`, { cause: stack });
}
