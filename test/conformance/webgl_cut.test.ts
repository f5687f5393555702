/**
 * What the WebGL backend does around its products: programs are cut at them, and values go between two backends. The products
 * themselves are JavaScript here; `test/browser/webgl.test.ts` has gpu.js's.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebGlBackend } from '../../packages/core/src/backends/webgl/index.ts';
import { createWasm } from '../../packages/core/src/backends/wasm/index.ts';
import { linear, Recorder } from '../../packages/core/src/ops/index.ts';
import { visionProgram } from '../../packages/core/src/pipeline/programs.ts';
import { readGolden } from '../support/golden.ts';
import {
  argmax,
  loadGolden,
  runPrefix,
  runSteps,
  runVision,
  stageOf,
  visionPairs,
} from '../support/golden_model.ts';
import { createTestHost } from '../support/host.ts';
import { jsProducts } from '../support/js_products.ts';
import { difference } from '../support/tolerance.ts';
import { Random } from '../support/random.ts';
import { storeWeight } from '../support/weights.ts';
import { caches, type Case } from './case.ts';
import { attentionCases } from './cases/attention.ts';
import { chainCases } from './cases/chains.ts';
import { linearCases } from './cases/linear.ts';
import { windowCases } from './cases/windows.ts';
import { check, ErrorTable, Truth } from './harness.ts';

const everything = { leastRows: 1, leastWeights: 1 };

describe.each([{}, { drawMacs: 1 }])('every product is taken, %o', (options) => {
  const products = jsProducts();
  let backend: WebGlBackend;
  beforeAll(async () => {
    const inner = await createWasm(createTestHost(), { threads: 2, poison: true });
    backend = new WebGlBackend(inner, products, { ...everything, ...options });
    await backend.createCache(caches);
  });
  afterAll(() => backend.dispose());

  const truth = new Truth(false);
  test.each(
    Object.entries<Case[]>({
      linear: linearCases().filter((_, i) => i % 3 === 0),
      attention: attentionCases(),
      windows: windowCases(),
      chains: chainCases(),
    }),
  )('%s', async (_, cases) => {
    const failures = await check(backend, 'cut', cases, truth, new ErrorTable());
    expect(failures.slice(0, 4).join('\n')).toBe('');
    expect(products.live).toBe(0);
  });
  test('in chains too', () => expect(products.count).toBeGreaterThan(500));
});

describe.each(['cropping', 'pooling', 'plain'])('golden model %s', (name) => {
  test('gives the same stages and tokens, its large products apart', async () => {
    const model = { name, ...(await readGolden(name)) };
    const { golden, config, stages } = model;
    const products = jsProducts();
    const inner = await createWasm(createTestHost(), { threads: 1, poison: true });
    const backend = new WebGlBackend(inner, products, { leastRows: 4, leastWeights: 1 });
    try {
      await loadGolden(backend, model);
      const pairs = visionPairs(model, await runVision(backend, model));
      for (const { what, got, want } of pairs) expect(difference(got, want).largest, what).toBeLessThan(1e-4);
      const afterVision = products.count;
      const large = visionProgram(config).commands.filter((c) => c.op === 'linear' && c.x.rows >= 4);
      expect(large.length).toBeGreaterThan(12);
      expect(afterVision).toBe(large.length);
      const rows = await runSteps(
        backend,
        model,
        await runPrefix(backend, model),
        golden.greedy_tokens.length,
      );
      expect(rows.map(argmax)).toEqual(golden.greedy_tokens);
      expect(products.count).toBe(afterVision);
      expect(stageOf(stages, 'logits').length).toBe(rows.length * config.text.vocab);
    } finally {
      await backend.dispose();
    }
  });
});

test('a weight lies on one device, and memory() counts it', async () => {
  const host = createTestHost();
  const alone = await createWasm(host, { threads: 1 });
  const backend = new WebGlBackend(await createWasm(host, { threads: 1 }), jsProducts());
  try {
    const r = new Recorder('two products');
    const random = new Random(5);
    const [large, small] = [r.matrix('large', 128, 256), r.matrix('small', 128, 128)];
    const y = linear(r, r.input('x', 64, 256), large, {});
    linear(r, { ...y, rows: 1 }, small, { y: r.output('y', 1, 128) });
    const program = r.finish();
    const weights = [large, small].map((ref) =>
      storeWeight(ref, random.normals(ref.n * ref.k), { format: 'f32' }),
    );
    for (const b of [alone, backend]) {
      await b.reserve(weights, [program]);
      for (const weight of weights) await b.loadWeight(weight);
    }
    const inputs = { x: random.normals(64 * 256) };
    const [[want], [got]] = await Promise.all(
      [alone, backend].map(async (b) => b.run(await b.compile(program), { inputs })),
    );
    expect(difference(got, want).largest).toBeLessThan(1e-5);
    const [a, b] = [await alone.memory(), await backend.memory()];
    expect(b.weights).toBeGreaterThanOrEqual(4 * (128 * 256 + 128 * 128));
    expect(b.weights).toBeLessThan(1.1 * a.weights);
  } finally {
    await alone.dispose();
    await backend.dispose();
  }
});

test('an abort ends a run between its parts', async () => {
  const backend = new WebGlBackend(
    await createWasm(createTestHost(), { threads: 1 }),
    jsProducts(),
    everything,
  );
  try {
    const r = new Recorder('aborted');
    const w = r.matrix('w', 8, 8);
    linear(r, r.input('x', 8, 8), w, { y: r.output('y', 8, 8) });
    const program = r.finish();
    await backend.reserve([], [program]);
    await backend.loadWeight(storeWeight(w, new Float32Array(64).fill(1), { format: 'f32' }));
    const executable = await backend.compile(program);
    const inputs = { x: new Float32Array(64).fill(1) };
    const run = backend.run(executable, { inputs, signal: AbortSignal.abort() });
    await expect(run).rejects.toMatchObject({ code: 'ABORTED' });
    expect((await backend.run(executable, { inputs }))[0]).toEqual(new Float32Array(64).fill(8));
  } finally {
    await backend.dispose();
  }
});
