/** Products by WebGL and by WASM in one page, for `webgl.ts`. */
import type { Backend } from '../../packages/core/src/backend/index.ts';
import { createWasm, type Variant } from '../../packages/core/src/backends/wasm/index.ts';
import { WebGlBackend } from '../../packages/core/src/backends/webgl/index.ts';
import { openProducts } from '../../packages/core/src/backends/webgl/open.ts';
import { linear, Recorder } from '../../packages/core/src/ops/index.ts';
import { Random } from '../support/random.ts';
import { difference } from '../support/tolerance.ts';
import { storeWeight } from '../support/weights.ts';
import { webglHost } from '../support/webgl_host.ts';

export interface Shape {
  readonly name: string;
  readonly rows: number;
  readonly n: number;
  readonly k: number;
}

export interface ProductTimes extends Shape {
  /** Milliseconds by column, the best of the repetitions, with the way to the device and back. */
  readonly ms: Readonly<Record<string, number>>;
  /** Of WebGL's result against that of WASM in float32 weights, relative to the largest value. */
  readonly difference: number;
}

export interface WebGlFigures {
  readonly renderer: string;
  readonly products: readonly ProductTimes[];
}

const VARIANTS: readonly Variant[] = ['relaxed', 'simd'];

export default async function run(input: {
  shapes: readonly Shape[];
  repeats: number;
}): Promise<WebGlFigures> {
  const products = await openProducts(webglHost);
  const { renderer } = products;
  const backends: [string, Backend][] = [];
  for (const variant of VARIANTS) {
    backends.push([variant, await createWasm(webglHost, { threads: 1, variant })]);
  }
  backends.push(['webgl', new WebGlBackend(await createWasm(webglHost, { threads: 1 }), products)]);
  try {
    const times: ProductTimes[] = [];
    for (const shape of input.shapes) times.push(await timeShape(backends, shape, input.repeats));
    return { renderer, products: times };
  } finally {
    for (const [, backend] of backends) await backend.dispose();
  }
}

async function timeShape(
  backends: readonly [string, Backend][],
  shape: Shape,
  repeats: number,
): Promise<ProductTimes> {
  const { name, rows, n, k } = shape;
  const random = new Random(n + k);
  const values = random.normals(n * k, 1 / Math.sqrt(k));
  const inputs = { x: random.normals(rows * k) };
  const ms: Record<string, number> = {};
  const results = new Map<string, Float32Array>();
  for (const [column, backend] of backends) {
    for (const format of column === 'webgl' ? (['f32'] as const) : (['q8', 'f32'] as const)) {
      const r = new Recorder(`${name} ${format}`);
      const w = r.matrix(`${name} ${column} ${format}`, n, k);
      linear(r, r.input('x', rows, k), w, { y: r.output('y', rows, n) });
      const program = r.finish();
      const weight = storeWeight(w, values, { format });
      await backend.reserve?.([weight], [program]);
      await backend.loadWeight(weight);
      const executable = await backend.compile(program);
      const key = column === 'webgl' ? column : `${column} ${format}`;
      // The first compiles.
      const [first] = await backend.run(executable, { inputs });
      results.set(key, first.slice());
      ms[key] = Infinity;
      for (let i = 0; i < repeats; i++) {
        const start = performance.now();
        await backend.run(executable, { inputs });
        ms[key] = Math.min(ms[key], performance.now() - start);
      }
      executable.release();
    }
  }
  const [got, want] = ['webgl', 'simd f32'].map((key) => results.get(key) ?? []);
  return { ...shape, ms, difference: difference(got, want).largest };
}
