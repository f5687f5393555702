/**
 * `node test/bench/webgl.ts`: the products of a vision tower by WebGL (gpu.js) and by WASM on one thread, on the same page of
 * Chromium without threads; then the demo model's vision as a whole.
 *
 *   --gpu          the machine's own WebGL, instead of one that computes on the CPU
 *   --repeats N    the fastest of so many counts; 3 by default
 *   --out FILE     the figures as JSON, too
 */
import { writeFile } from 'node:fs/promises';
import { relative } from 'node:path';
import { parseArgs } from 'node:util';
import { openChromium } from '../support/chromium.ts';
import { questionsByPicture } from '../support/demo_set.ts';
import { root } from '../support/deno.ts';
import { WEBGL_ARGS } from '../support/webgl_args.ts';
import type { WebGlAsked, WebGlInput } from '../support/webgl_in_page.ts';
import { columns } from './table.ts';
import type { Shape, WebGlFigures } from './webgl_in_page.ts';

const { values } = parseArgs({
  options: {
    gpu: { type: 'boolean', default: false },
    repeats: { type: 'string', default: '3' },
    out: { type: 'string' },
  },
});
const chromium = { args: values.gpu ? ['--use-gl=angle'] : WEBGL_ARGS, isolated: false };
const MINUTES = 60_000;

const shapes: readonly Shape[] = [
  { name: 'demo, attention', rows: 145, n: 256, k: 256 },
  { name: 'demo, fc1', rows: 145, n: 1024, k: 256 },
  { name: 'ViT-L, attention', rows: 577, n: 1024, k: 1024 },
  { name: 'ViT-L, fc1', rows: 577, n: 4096, k: 1024 },
  { name: 'ViT-L, fc2', rows: 577, n: 1024, k: 4096 },
  { name: '7B, projector', rows: 576, n: 4096, k: 4096 },
];

async function productTimes(): Promise<WebGlFigures> {
  const page = await openChromium(new URL('./webgl_in_page.ts', import.meta.url), chromium);
  try {
    return await page.run<WebGlFigures>({ shapes, repeats: Number(values.repeats) }, 10 * MINUTES);
  } finally {
    await page.close();
  }
}

/** Milliseconds of the vision of eight pictures, the first of which compiles, by device. */
async function demoVision(): Promise<Record<string, number[]>> {
  const pictures = (await questionsByPicture()).slice(0, 8);
  const questions = pictures.map(([{ image }]) => ({
    image: `/${relative(root, image)}`,
    prompt: 'What is it?',
  }));
  const page = await openChromium(new URL('../support/webgl_in_page.ts', import.meta.url), chromium);
  try {
    const found: Record<string, number[]> = {};
    for (const device of ['wasm', 'webgl'] as const) {
      const input: WebGlInput = { model: '/packages/demo-model/model', options: { device }, questions };
      found[device] = (await page.run<WebGlAsked>(input, 5 * MINUTES)).vision;
    }
    return found;
  } finally {
    await page.close();
  }
}

const figures = { ...(await productTimes()), demoVision: await demoVision() };
const keys = Object.keys(figures.products[0].ms);
console.log(figures.renderer);
console.log(
  columns([
    ['rows x k x n', 'product', ...keys.map((key) => `${key}, ms (GMAC/s)`), 'webgl - wasm f32'],
    ...figures.products.map(({ name, rows, n, k, ms, difference }) => [
      `${rows} x ${k} x ${n}`,
      name,
      ...keys.map((key) => `${ms[key].toFixed(1)} (${((rows * n * k) / ms[key] / 1e6).toFixed(2)})`),
      difference.toExponential(1),
    ]),
  ]),
);
for (const [device, all] of Object.entries(figures.demoVision)) {
  const [first, ...rest] = all;
  console.log(
    `demo vision, ${device}: ${Math.min(...rest).toFixed(0)} ms, the first picture ${first.toFixed(0)} ms`,
  );
}
if (values.out) await writeFile(values.out, `${JSON.stringify(figures, null, 1)}\n`);
