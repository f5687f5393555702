/** Opens the WebGL2 device by gpu.js, and decides whether it is worth it. */
import { digest } from '../../backend/digest.ts';
import type { Backend, StoredWeight } from '../../backend/index.ts';
import { DeviceError, UnsupportedError } from '../../errors/index.ts';
import type { Host } from '../../host.ts';
import { linear, Recorder, type WeightRef } from '../../ops/index.ts';
import { finishKernel, LIFT, nativeFunctions, PART_FUNCTIONS, PRODUCT } from './glsl.ts';
import { loadGpuJs, type GpuJsModule } from './gpu_js.ts';
import { WebGlBackend } from './index.ts';
import { Products } from './products.ts';
import { selfTest } from './self_test.ts';

/**
 * @throws {UnsupportedError} `BACKEND_UNAVAILABLE`, saying what is missing; {@link DeviceError} `SELF_TEST_FAILED`.
 */
export async function openProducts(host: Host): Promise<Products> {
  const products = new Products(await openLibrary(host), rendererOf(host));
  try {
    selfTest(products);
    return products;
  } catch (error) {
    await products.dispose();
    throw error;
  }
}

function rendererOf(host: Host): string {
  return host.webGlRenderer?.() ?? 'unknown';
}

async function openLibrary(host: Host): Promise<GpuJsModule> {
  if (host.openGpuJs === undefined) {
    throw unavailable(
      'The device "webgl" wants a browser and the library gpu.js, which was not given.',
      'In a browser pass gpuJs, the address of its gpu-browser.min.js; elsewhere use device "auto" or "wasm".',
    );
  }
  const fix = 'Pass as gpuJs the address of gpu-browser.min.js of gpu.js 2, or use device "auto" or "wasm".';
  let module: GpuJsModule | null;
  try {
    module = await loadGpuJs(() => Promise.resolve(host.openGpuJs?.()));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw unavailable(`The library gpu.js can't be loaded: ${why}`, fix, cause);
  }
  if (!module) throw unavailable('What was loaded as gpu.js is another module.', fix);
  return module;
}

function unavailable(message: string, fix: string, cause?: unknown): UnsupportedError {
  return new UnsupportedError({ code: 'BACKEND_UNAVAILABLE', message, fix, cause });
}

/** What was found, and why. */
export interface Verdict {
  readonly wins: boolean;
  readonly reason: string;
}

interface Kept extends Verdict {
  /** Milliseconds since 1970. */
  readonly at: number;
}

const KERNELS = [nativeFunctions, LIFT, PRODUCT, PART_FUNCTIONS, finishKernel('none')];
/** Drivers are updated, and most say nothing of their version. */
const DAYS = 30;
/** WASM computes with weights of 8 bits, and is sure to work: WebGL must be clearly faster. */
const CLEARLY = 0.8;
/** A layer of a vision tower of the usual size. */
const SHAPE = { rows: 577, n: 1024, k: 1024 };
const REPETITIONS = 3;

/** Under which the host remembers a verdict: names what draws, and the kernels themselves. */
export function settingsKey(renderer: string): string {
  return `webgl-against-wasm-${digest(JSON.stringify([renderer, KERNELS]))}`;
}

/**
 * Whether WebGL computes a product of a vision tower faster than `startInner`'s backend does, results read back. Remembered by
 * the host; without WebGL the reason why.
 *
 * @param startInner starts what it is measured against; it is disposed of.
 */
export async function compare(host: Host, startInner: () => Promise<Backend>): Promise<Verdict> {
  const renderer = rendererOf(host);
  const key = settingsKey(renderer);
  const known = await recall(host, key);
  if (known) return known;
  let products: Products;
  try {
    products = await openProducts(host);
  } catch (error) {
    if (!(error instanceof UnsupportedError || error instanceof DeviceError)) throw error;
    return { wins: false, reason: error.message };
  }
  let inner: Backend;
  try {
    inner = await startInner();
  } catch (error) {
    await products.dispose();
    throw error;
  }
  // It disposes of both.
  const both = new WebGlBackend(inner, products);
  try {
    const there = await time(inner, 'wasm');
    const here = await time(both, 'webgl');
    const wins = here < CLEARLY * there;
    const reason = `a product of a vision tower takes ${here.toFixed(0)} ms by WebGL (${renderer}) and ${there.toFixed(0)} ms by WASM`;
    const verdict: Kept = { wins, reason, at: Date.now() };
    await host.settings.set(key, JSON.stringify(verdict));
    return { wins, reason };
  } finally {
    await both.dispose();
  }
}

async function recall(host: Host, key: string): Promise<Verdict | null> {
  const text = await host.settings.get(key);
  if (text === null) return null;
  try {
    const { wins, reason, at } = JSON.parse(text) as Partial<Kept>;
    if (typeof wins !== 'boolean' || typeof reason !== 'string' || typeof at !== 'number') return null;
    return Date.now() - at > DAYS * 86_400_000 ? null : { wins, reason: `${reason} (remembered)` };
  } catch {
    return null;
  }
}

/** Milliseconds, the best of a few. */
async function time(backend: Backend, name: string): Promise<number> {
  const { rows, n, k } = SHAPE;
  const r = new Recorder(`compare ${name}`);
  const w = r.matrix(`compare ${name}`, n, k);
  linear(r, r.input('x', rows, k), w, { y: r.output('y', rows, n) });
  const program = r.finish();
  await backend.reserve?.([zeros(w)], [program]);
  await backend.loadWeight(zeros(w));
  const executable = await backend.compile(program);
  const run = { inputs: { x: new Float32Array(rows * k) } };
  // The first compiles.
  await backend.run(executable, run);
  let best = Infinity;
  for (let i = 0; i < REPETITIONS; i++) {
    const start = performance.now();
    await backend.run(executable, run);
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

const GROUP = 64;

/** In the form of a converted vision tower's weights. */
function zeros(ref: WeightRef): StoredWeight {
  const factors = (rows: number) => new Uint8Array((2 * rows * ref.k) / GROUP);
  return {
    ref,
    format: 'q8',
    dtype: 'F16',
    group: GROUP,
    readRows: async (begin, end) => ({
      values: new Uint8Array((end - begin) * ref.k),
      scales: factors(end - begin),
      biases: factors(end - begin),
    }),
  };
}
