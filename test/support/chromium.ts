/** Runs a test's code in a page of the system's Chromium, whose WebGPU is SwiftShader. */
import { createServer, type Server } from 'node:http';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type BuildOptions } from 'esbuild';
import type { Browser, CDPSession, Page } from 'puppeteer-core';
import { launchChromium } from './browsers.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** What lies beside the adapter's code, by the name that it has there. */
const ASSETS: Readonly<Record<string, string>> = {
  'kernels.relaxed.wasm': 'wasm/dist',
  'kernels.simd.wasm': 'wasm/dist',
  'mozjpeg_dec.wasm': 'node_modules/@jsquash/jpeg/codec/dec',
  'squoosh_png_bg.wasm': 'node_modules/@jsquash/png/codec/pkg',
  'webp_dec.wasm': 'node_modules/@jsquash/webp/codec/dec',
  'avif_dec.wasm': 'node_modules/@jsquash/avif/codec/dec',
};

const ISOLATION = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

export interface Chromium {
  readonly page: Page;
  /** Of the browser, as `Browser.crashGpuProcess`. */
  readonly cdp: CDPSession;
  /** Calls the default export of the module that the page was started with; `input` and the result travel as JSON. */
  run<T>(input?: unknown, timeout?: number): Promise<T>;
  close(): Promise<void>;
}

export interface ChromiumOptions {
  /** Of the command line, besides what every test wants. */
  args?: readonly string[];
  /** `false`: memory can't be shared between threads. */
  isolated?: boolean;
  /** The content security policy of the page and its workers; none by default. */
  policy?: string;
}

/**
 * A page that holds one module of the tests, bundled with what it imports, and reads the repository's files from `/`. It
 * is isolated from other origins, so that memory can be shared. The caller closes it.
 */
export async function openChromium(
  module: URL,
  { args = [], isolated = true, policy }: ChromiumOptions = {},
): Promise<Chromium> {
  const worker = new URL('../../packages/browser/src/worker_file.ts', import.meta.url);
  const own = {
    '/page.html': '<!doctype html><script type="module" src="/page.js"></script>',
    // `globalThis.run(input)` calls the module's default export and gives its result as JSON.
    '/page.js': await bundleText(`import run from ${JSON.stringify(fileURLToPath(module))};
      globalThis.run = async (input) => JSON.stringify((await run(input)) ?? null);`),
    '/worker.js': await bundle({ entryPoints: [fileURLToPath(worker)] }),
  };
  const headers = {
    ...(isolated ? ISOLATION : {}),
    ...(policy === undefined ? {} : { 'content-security-policy': policy }),
  };
  const server = await serve(own, headers);
  let browser: Browser | undefined;
  try {
    browser = await launchChromium({ args: [...args] });
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    const { port } = server.address() as AddressInfo;
    await page.goto(`http://127.0.0.1:${port}/page.html`, { timeout: 30_000 });
    await page
      .waitForFunction(() => 'run' in globalThis, { timeout: 30_000 })
      .catch((cause: unknown) => {
        throw new Error(`the page did not start: ${errors.join('; ')}`, { cause });
      });
    const cdp = await browser.target().createCDPSession();
    return {
      page,
      cdp,
      run: <T>(input: unknown = null, timeout = 120_000) => call<T>(page, input, timeout),
      close: () => shut(browser, server),
    };
  } catch (error) {
    await shut(browser, server);
    throw error;
  }
}

async function call<T>(page: Page, input: unknown, timeout: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new Error(`the page gave no result in ${timeout} ms`)), timeout);
  });
  // As text: what the page throws keeps its stack, and no value is changed on the way.
  const work = page.evaluate(`globalThis.run(${JSON.stringify(input)})`) as Promise<string>;
  try {
    return JSON.parse(await Promise.race([work, late])) as T;
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}

async function shut(browser: Browser | undefined, server: Server): Promise<void> {
  await browser?.close().catch(() => browser?.process()?.kill('SIGKILL'));
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
}

/** What the browser runs of `entry`, with everything that it imports. */
function bundleText(contents: string): Promise<string> {
  return bundle({ stdin: { contents, resolveDir: root, loader: 'ts' } });
}

async function bundle(entry: Pick<BuildOptions, 'stdin' | 'entryPoints'>): Promise<string> {
  const { outputFiles } = await build({
    ...entry,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2023',
    write: false,
    sourcemap: 'inline',
    logLevel: 'silent',
    // The sources, as the tests import them: an error must not have two classes.
    alias: {
      '@llava-sp/core/worker': join(root, 'packages/core/src/worker.ts'),
      '@llava-sp/core': join(root, 'packages/core/src/index.ts'),
    },
    // The image codecs' emscripten code asks for these in Node alone.
    external: ['module', 'fs', 'path', 'url', 'node:*'],
  });
  return outputFiles[0].text;
}

/** Serves `own` by path, and the repository's files. */
async function serve(own: Record<string, string>, headers: Record<string, string>): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://page');
    const answer = (status: number, body: string | Uint8Array): void => {
      response.writeHead(status, {
        'content-type': TYPES[extname(pathname)] ?? 'application/octet-stream',
        'content-length': Buffer.byteLength(body),
        ...headers,
        'cache-control': 'no-store',
      });
      response.end(request.method === 'HEAD' ? undefined : body);
    };
    if (pathname in own) return answer(200, own[pathname]);
    const name = pathname.slice(1);
    const path = name in ASSETS ? join(ASSETS[name], name) : normalize(decodeURIComponent(pathname));
    readFile(join(root, path)).then(
      (body) => answer(200, body),
      () => answer(404, `there is no ${path}`),
    );
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return server;
}
