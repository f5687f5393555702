/** What a Backend promises besides right numbers: states, snapshots, replays, refusals, and a clean end. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Executable } from '../../packages/core/src/backend/index.ts';
import { createWasm, type WasmBackend } from '../../packages/core/src/backends/wasm/index.ts';
import { LlavaSpError } from '../../packages/core/src/errors/index.ts';
import {
  attentionCached,
  copy,
  embed,
  kvWrite,
  linear,
  Recorder,
  rowsOf,
  type Program,
} from '../../packages/core/src/ops/index.ts';
import { createReference, type ReferenceBackend } from '../../packages/core/src/reference/backend.ts';
import { compareBackends } from '../support/bisect.ts';
import { createTestHost } from '../support/host.ts';
import { Random } from '../support/random.ts';
import { difference } from '../support/tolerance.ts';
import { inMemory, storeVector, storeWeight } from '../support/weights.ts';

const seed = 77;
const width = 32;
const cache = { layer: 0, kvHeads: 2, headDim: 16, context: 24 };

/** Ids to one attention layer's output `y`. */
function decoder(rows: number): Program {
  const r = new Recorder(`decoder ${rows}`);
  const x = embed(
    r,
    r.input('ids', rows, 1, 'u32'),
    r.matrix('table', 50, width),
    r.tensor('x', rows, width),
  );
  const project = (name: string) => linear(r, x, r.matrix(name, width, width, { units: 2 }));
  const [q, k, v] = [project('q'), project('k'), project('v')];
  kvWrite(r, k, v, r.cache(cache));
  linear(r, attentionCached(r, q, cache, 2, 'a'), r.matrix('o', width, width), {
    y: r.output('y', rows, width),
  });
  return r.finish();
}

/** Adds the input to a state and returns it: `s += x W`. */
function accumulate(): Program {
  const r = new Recorder('accumulate');
  const s = r.state('sum', 3, width);
  linear(r, r.input('x', 3, width), r.matrix('q', width, width, { units: 2 }), { residual: s, y: s });
  return r.finish();
}

/** Reads one row of the state that another program wrote. */
function readState(): Program {
  const r = new Recorder('read');
  copy(r, rowsOf(r.state('sum', 3, width), 1, 1), r.output('row', 1, width));
  return r.finish();
}

async function prepare(backend: WasmBackend | ReferenceBackend): Promise<void> {
  const random = new Random(seed);
  for (const ref of decoder(1).weights) {
    await backend.loadWeight(storeWeight(ref, random.normals(ref.n * ref.k, 0.2), { format: 'f32' }));
  }
  await backend.createCache([cache]);
}

const devices = [
  { threads: 1, sharedMemory: true },
  { threads: 2, sharedMemory: true },
  { threads: 3, sharedMemory: true },
  // Without cross-origin isolation: one thread, outputs by message.
  { threads: 1, sharedMemory: false },
];

describe.each(devices)('$threads threads, shared memory $sharedMemory', ({ threads, sharedMemory }) => {
  let backend: WasmBackend;
  let reference: ReferenceBackend;
  beforeAll(async () => {
    backend = await createWasm(createTestHost({ sharedMemory }), { threads, poison: true });
    reference = createReference({ activationRounding: true });
    await Promise.all([prepare(backend), prepare(reference)]);
  });
  afterAll(() => backend.dispose());

  const ids = Uint32Array.of(3, 49, 0, 17, 17, 8, 25, 1, 2, 30);
  const decode = async (from: number, count: number) => {
    const inputs = { ids: ids.slice(from, from + count) };
    const run = async (on: WasmBackend | ReferenceBackend) => {
      const executable = await on.compile(decoder(count));
      const [y] = await on.run(executable, { inputs, pos: from });
      executable.release();
      return y.slice();
    };
    return { got: await run(backend), want: await run(reference) };
  };

  it('says what it is', async () => {
    expect(backend.report.threads).toBe(threads);
    expect(backend.report.choices.map(({ what }) => what)).toEqual([
      'threads',
      'kernels',
      'q4 matrix-vector',
    ]);
    expect(backend.report.choices.every(({ reason }) => reason.length > 0)).toBe(true);
    const memory = await backend.memory();
    // 2 (k, v) * heads * context * headDim * 4 bytes; kernels may pad.
    expect(memory.cache).toBeGreaterThanOrEqual(2 * 2 * 24 * 16 * 4);
    expect(memory.weights).toBeGreaterThanOrEqual((50 + 4 * width) * width * 4);
    expect(memory.total).toBeGreaterThanOrEqual(memory.cache + memory.weights + memory.scratch);
  });

  it('keeps the KV cache between programs of different lengths', async () => {
    for (const [from, count] of [
      [0, 5],
      [5, 1],
      [6, 3],
      [9, 1],
    ]) {
      const { got, want } = await decode(from, count);
      expect(difference(got, want).largest).toBeLessThan(1e-5);
    }
  });

  it('restores a prefix after other tokens were written over it', async () => {
    const { want } = await decode(0, 6);
    const snapshot = await backend.saveCache(4);
    expect(snapshot.tokens).toBe(4);
    const other = await backend.compile(decoder(10));
    await backend.run(other, { inputs: { ids: new Uint32Array(10).fill(9) }, pos: 0 });
    await backend.restoreCache(snapshot);
    const tail = await backend.compile(decoder(2));
    const [got] = await backend.run(tail, { inputs: { ids: ids.slice(4, 6) }, pos: 4 });
    expect(difference(got, want.slice(4 * width)).largest).toBeLessThan(1e-5);
    snapshot.release();
  });

  it('shares states between programs and keeps them between runs', async () => {
    const [add, read] = [await backend.compile(accumulate()), await backend.compile(readState())];
    const [trueAdd, trueRead] = [await reference.compile(accumulate()), await reference.compile(readState())];
    const random = new Random(seed);
    for (let i = 0; i < 3; i++) {
      const inputs = { x: random.normals(3 * width) };
      await backend.run(add, { inputs });
      await reference.run(trueAdd, { inputs });
      const [got] = await backend.run(read, {});
      const [want] = await reference.run(trueRead, {});
      expect(difference(got, want).largest).toBeLessThan(1e-5);
    }
  });

  it('gives the same bits every time, also after another program used the scratch memory', async () => {
    const inputs = { ids };
    const executable = await backend.compile(decoder(10));
    const first = (await backend.run(executable, { inputs, pos: 0 }))[0].slice();
    const small = await backend.compile(decoder(1));
    await backend.run(small, { inputs: { ids: ids.slice(0, 1) }, pos: 20 });
    expect((await backend.run(executable, { inputs, pos: 0 }))[0]).toEqual(first);
  });

  it('is as usable as before after an abort', async () => {
    const executable: Executable = await backend.compile(decoder(4));
    const signal = AbortSignal.abort();
    const aborted = backend.run(executable, { inputs: { ids: ids.slice(0, 4) }, pos: 0, signal });
    await expect(aborted).rejects.toMatchObject({ code: 'ABORTED' });
    const { got, want } = await decode(0, 4);
    expect(difference(got, want).largest).toBeLessThan(1e-5);
  });

  it('refuses weights that are not finite, by name', async () => {
    const r = new Recorder('nan');
    const values = new Float32Array(8 * width);
    values[77] = NaN;
    const matrix = storeWeight(r.matrix('broken matrix', 8, width), values, { format: 'f32' });
    await expect(backend.loadWeight(matrix)).rejects.toMatchObject({ code: 'WEIGHTS_NOT_FINITE' });
    const halves = storeWeight(r.matrix('broken half', 8, width), values.fill(1e9), { format: 'f16' });
    await expect(backend.loadWeight(halves)).rejects.toThrow(/broken half/);
    const vector = storeVector(r.vector('broken vector', 3), Float32Array.of(1, Infinity, 2));
    await expect(backend.loadWeight(vector)).rejects.toThrow(/broken vector/);
    const stored = storeWeight(r.matrix('broken scales', 8, width), new Float32Array(8 * width), {
      format: 'q4',
      group: 32,
    });
    const rows = await stored.readRows(0, 8);
    const scales = new Uint8Array(new Uint16Array(8).fill(0x7e00).buffer);
    const scaled = inMemory(stored.ref, 'q4', 'F16', 32, { ...rows, scales });
    await expect(backend.loadWeight(scaled)).rejects.toBeInstanceOf(LlavaSpError);
    const { got, want } = await decode(0, 2);
    expect(difference(got, want).largest).toBeLessThan(1e-5);
  });

  it('refuses a program whose weights are not loaded, and inputs of a wrong size', async () => {
    const r = new Recorder('unknown');
    linear(r, r.input('x', 1, 4), r.matrix('absent', 4, 4), { y: r.output('y', 1, 4) });
    await expect(backend.compile(r.finish())).rejects.toThrow(/absent/);
    const executable = await backend.compile(decoder(2));
    await expect(backend.run(executable, { inputs: { ids: ids.slice(0, 3) }, pos: 0 })).rejects.toThrow(
      /ids/,
    );
    const { got, want } = await decode(0, 2);
    expect(difference(got, want).largest).toBeLessThan(1e-5);
  });

  it('times every command', async () => {
    const executable = await backend.compile(decoder(1));
    await backend.run(executable, { inputs: { ids: ids.slice(0, 1) }, pos: 0 });
    const times = await backend.profile(executable);
    expect(times.map(({ op }) => op)).toEqual(decoder(1).commands.map(({ op }) => op));
    expect(times.every(({ ms }) => ms >= 0)).toBe(true);
  });

  it('is found out at the first command that differs', async () => {
    const random = new Random(seed);
    const weights = decoder(1).weights.map((ref) =>
      storeWeight(ref, random.normals(ref.n * ref.k), { format: 'f32' }),
    );
    const program = decoder(3);
    const inputs = { ids: ids.slice(0, 3) };
    const agreed = await compareBackends(program, weights, inputs, backend, reference, { withCaches: false });
    expect(agreed).toBeUndefined();
    // The candidate's v is another matrix: command 3, behind embed, q and k.
    const changed = program.weights.find(({ name }) => name === 'v');
    if (!changed) throw new Error('no weight v');
    const wrong: WasmBackend | ReferenceBackend = createReference({ activationRounding: true });
    await wrong.createCache([cache]);
    const load = wrong.loadWeight.bind(wrong);
    wrong.loadWeight = (weight) =>
      load(
        weight.ref.name === 'v'
          ? storeWeight(changed, random.normals(width * width), { format: 'f32' })
          : weight,
      );
    const found = await compareBackends(program, weights, inputs, wrong, reference, { withCaches: false });
    expect(found).toMatchObject({ index: 3, name: 'v' });
  });

  it('fails everything asked after its end with MODEL_DISPOSED', async () => {
    const own = await createWasm(createTestHost({ sharedMemory }), { threads, variant: 'simd' });
    await prepare(own);
    const executable = await own.compile(decoder(1));
    await own.dispose();
    const run = own.run(executable, { inputs: { ids: ids.slice(0, 1) }, pos: 0 });
    await expect(run).rejects.toMatchObject({ code: 'MODEL_DISPOSED' });
  });
});

describe('options', () => {
  it.each([0, 17, 1.5])('refuses %f threads', async (threads) => {
    await expect(createWasm(createTestHost(), { threads })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });

  it('runs on one thread where memory can not be shared, and says why', async () => {
    const backend = await createWasm(createTestHost({ sharedMemory: false }), { threads: 4 });
    expect(backend.report.threads).toBe(1);
    expect(backend.report.choices[0].reason).toMatch(/shared/);
    await backend.dispose();
  });

  it('finds a build whose sums are wrong, and takes the other', async () => {
    // The kernels' file is cut short for one build: it does not validate, as where relaxed SIMD is missing.
    const host = createTestHost();
    const read = host.readKernels.bind(host);
    host.readKernels = async (file) =>
      file.includes('relaxed') ? (await read(file)).slice(0, 100) : read(file);
    const backend = await createWasm(host, { threads: 1 });
    const kernels = backend.report.choices.find(({ what }) => what === 'kernels');
    expect(kernels?.chosen).toBe('simd');
    expect(kernels?.reason).toMatch(/refused relaxed/);
    await backend.dispose();
  });
});
