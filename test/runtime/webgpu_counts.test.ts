/**
 * How few dispatches the WebGPU backend makes of a program, counted on its command list without a device; that nothing
 * which somebody reads was fused away; and that decoding makes no pipeline, bind group or buffer.
 */
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { WeightFormat } from '../../packages/core/src/backend/index.ts';
import { lowerSampler } from '../../packages/core/src/backends/webgpu/decode.ts';
import type { OpenDevice } from '../../packages/core/src/backends/webgpu/device.ts';
import { fuse, weightGroups } from '../../packages/core/src/backends/webgpu/fuse.ts';
import { createWebGpu } from '../../packages/core/src/backends/webgpu/index.ts';
import { lower } from '../../packages/core/src/backends/webgpu/lower.ts';
import {
  Lowering,
  type Lowered,
  type LoweringContext,
} from '../../packages/core/src/backends/webgpu/lowering.ts';
import type { GpuMemory } from '../../packages/core/src/backends/webgpu/memory.ts';
import { defaultSelection } from '../../packages/core/src/backends/webgpu/select/rules.ts';
import { fieldsOf, kernels } from '../../packages/core/src/backends/webgpu/shader.ts';
import { Weights } from '../../packages/core/src/backends/webgpu/weights.ts';
import type { ModelConfig } from '../../packages/core/src/models/config.ts';
import { spatialFeatures } from '../../packages/core/src/models/spatial/windows.ts';
import {
  copy,
  crop,
  linear,
  operands,
  Recorder,
  rmsNorm,
  rowsOf,
  swiglu,
  type Program,
  type Tensor,
  type WeightRef,
} from '../../packages/core/src/ops/index.ts';
import { prefixProgram, tokensProgram, visionProgram } from '../../packages/core/src/pipeline/programs.ts';
import { readGolden } from '../support/golden.ts';
import { loadGolden, runPrefix, runSteps, runVision } from '../support/golden_model.ts';
import { openTestGpu } from '../support/gpu.ts';
import { createTestHost } from '../support/host.ts';

const GIB = 2 ** 30;

interface Device {
  readonly software?: boolean;
  /** Bytes of one binding. */
  readonly binding?: number;
  /** Of all matrices that can be cut into groups of 32; else f16. */
  readonly format?: WeightFormat;
}

/** What a program becomes on a device that is only described. */
function lowered(program: Program, { software = false, binding = 2 * GIB, format = 'q4' }: Device = {}) {
  const { selection, weights, options } = described(program, { software, binding, format });
  const context: LoweringContext = {
    selection,
    matrix: (ref) => weights.matrix(ref),
    vector: () => 0,
    cache: (ref) => ref,
  };
  const fused = fuse(program, options);
  return { fused, context, ...lower(fused, context) };
}

function described(program: Program, { software, binding, format }: Required<Device>) {
  const limits = {
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupSizeX: 256,
    maxComputeWorkgroupStorageSize: 32 << 10,
    maxStorageBufferBindingSize: binding,
    maxBufferSize: binding,
  };
  const features = new Set(software ? [] : ['subgroups', 'shader-f16']);
  const language = new Set(['packed_4x8_integer_dot_product']);
  const selection = defaultSelection({ features, language, limits, software }, !software);
  const weights = new Weights({ device: { limits } } as unknown as OpenDevice, {} as GpuMemory);
  const shapeOf = (ref: WeightRef) =>
    ref.k % 32 === 0
      ? { ref, format, group: /q[48]/.test(format) ? 32 : 0 }
      : { ref, format: 'f16', group: 0 };
  const keyOf = (ref: WeightRef): string => `${shapeOf(ref).format}`;
  const options = { gemvRows: selection.gemvRows, keyOf };
  weights.place(
    program.weights.filter(({ kind }) => kind === 'matrix').map((ref) => shapeOf(ref) as never),
    weightGroups(program, options),
  );
  return { selection, weights, options };
}

/** Every output is written, and nothing is read from scratch memory that no dispatch before it wrote. */
function expectWhole(program: Program, { storages, dispatches }: Lowered): void {
  const written = new Set<number>();
  for (const { kernel, bindings } of dispatches) {
    const places = bindings.map((ref, i) => ({ ref, writes: fieldsOf(kernels[kernel].bindings[i])[2] }));
    for (const { ref, writes } of places) {
      if (ref.kind !== 'storage' || writes || storages[ref.index].kind !== 'scratch') continue;
      expect(written.has(ref.index), `${kernel} reads ${storages[ref.index].name}`).toBe(true);
    }
    for (const { ref, writes } of places) if (ref.kind === 'storage' && writes) written.add(ref.index);
  }
  for (const { storage } of program.outputs) {
    expect(written.has(storage), `output ${storages[storage].name} of ${program.name}`).toBe(true);
  }
}

let golden: ModelConfig;
beforeAll(async () => {
  golden = (await readGolden('cropping')).config;
});

const texts: Record<string, Partial<ModelConfig['text']>> = {
  golden: {},
  'Qwen2-0.5B': {
    width: 896,
    mlp: 4864,
    heads: 14,
    kvHeads: 2,
    headDim: 64,
    vocab: 151_655,
    tied: true,
    attentionBias: true,
  },
  'Vicuna-7B': { width: 4096, mlp: 11_008, heads: 32, kvHeads: 32, headDim: 128, vocab: 32_000 },
};
const devices: [string, Device][] = [
  ['a GPU, q4', {}],
  ['a GPU, q8', { format: 'q8' }],
  ['a GPU, f16', { format: 'f16' }],
  ['a CPU, q4', { software: true }],
];

describe.each(devices)('on %s', (_, device) => {
  const decoder = (text: Partial<ModelConfig['text']>, layers: number): ModelConfig => ({
    ...golden,
    text: { ...golden.text, ...text, layers },
  });

  test.each(Object.entries(texts))('a decode step of %s', (_name, text) => {
    const [one, two] = [1, 2].map((layers) => lowered(tokensProgram(decoder(text, layers), 1), device));
    const perLayer = two.dispatches.length - one.dispatches.length;
    expect(perLayer).toBeLessThanOrEqual(6);
    const vocab = text.vocab ?? golden.text.vocab;
    for (const greedy of [true, false]) {
      const sampling = lowerSampler(new Lowering([], one.context), vocab, greedy);
      const outside = one.dispatches.length - perLayer + sampling.length;
      expect(outside, `outside the layers, ${greedy ? 'greedy' : 'sampled'}`).toBeLessThanOrEqual(4);
    }
  });

  test.each(['crop', 'pool'] as const)('the spatial features of 6 and 12 kernels, by %s', (window) => {
    for (const kernels of [
      [4, 8, 12, 16, 20, 24],
      [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24],
    ]) {
      const type = window === 'crop' ? 'cropping' : 'pooling';
      const none = { transformer: null, detail: null };
      const spatial = { type, tokens: kernels.length, features: 1024, kernels, ...none } as const;
      const r = new Recorder('spatial');
      const x = r.input('features', 576, 1024);
      const y = spatialFeatures(r, spatial, 24, x);
      copy(r, y, r.output('copy', y.rows, y.cols));
      const program = r.finish();
      // A copy besides; the weights in q4 are 1.4 GB for twelve.
      const { dispatches, ...rest } = lowered(program, { ...device, binding: 8 * GIB });
      expect(dispatches.length - 1).toBeLessThanOrEqual(3);
      expectWhole(program, { dispatches, ...rest });
    }
  });
});

describe('a program that is fused', () => {
  test.each(devices)('reads nothing that was fused away, whatever is tapped, on %s', (_, device) => {
    const { text } = golden;
    const config = { ...golden, text: { ...text, attentionBias: true } };
    const programs: ((taps?: ReadonlySet<string>) => Program)[] = [
      (taps) => visionProgram(config, taps),
      (taps) => retapped(prefixProgram(config, 4), taps),
      (taps) => retapped(tokensProgram(config, 1), taps),
      (taps) => retapped(tokensProgram(config, 2), taps),
      (taps) => retapped(tokensProgram(config, 9), taps),
    ];
    for (const record of programs) {
      const plain = record();
      expectWhole(plain, lowered(plain, device));
      const names = new Set(plain.storages.filter(({ kind }) => kind === 'scratch').map(({ name }) => name));
      expect(names.size).toBeGreaterThan(10);
      let tapped = 0;
      for (const name of names) {
        const program = record(new Set([name]));
        tapped += program.outputs.length > plain.outputs.length ? 1 : 0;
        expectWhole(program, lowered(program, device));
      }
      expect(tapped).toBeGreaterThan(10);
      const all = record(names);
      expectWhole(all, lowered(all, device));
      // A small binding cuts every large matrix.
      expectWhole(plain, lowered(plain, { ...device, binding: 40 << 10 }));
    }
  });

  const rows = 1;
  const width = 64;
  const keep = (r: Recorder, t: Tensor): void => copy(r, t, r.output(`kept ${t.storage}`, t.rows, t.cols));
  const start = (): {
    r: Recorder;
    x: Tensor;
    w: (name: string) => WeightRef;
    norm: (x: Tensor) => Tensor;
  } => {
    const r = new Recorder('fusion');
    const w = (name: string) => r.matrix(name, width, width);
    const norm = (x: Tensor) => rmsNorm(r, x, r.vector('norm', width), 1e-5);
    return { r, x: r.input('x', rows, width), w, norm };
  };
  const dispatched = (r: Recorder): string[] => {
    const program = r.finish();
    const result = lowered(program);
    expectWhole(program, result);
    return result.dispatches.map(({ kernel }) => kernel);
  };

  test('keeps a norm that another command reads too', () => {
    const { r, x, w, norm } = start();
    const h = norm(x);
    keep(r, linear(r, h, w('a')));
    expect(dispatched(r)).toEqual(['linear_gemv', 'activation']);
    const other = start();
    const shared = other.norm(other.x);
    keep(other.r, linear(other.r, shared, other.w('a')));
    keep(other.r, shared);
    expect(dispatched(other.r)).toEqual(['norm', 'linear_gemv', 'activation', 'activation']);
  });

  test('keeps a norm whose input changes before the last linear', () => {
    const { r, x, w, norm } = start();
    const mine = r.tensor('mine', rows, width);
    copy(r, x, mine);
    const h = norm(mine);
    linear(r, h, w('a'), { y: mine });
    keep(r, linear(r, h, w('b')));
    keep(r, mine);
    expect(dispatched(r)).toContain('norm');
  });

  test('keeps gate and up that another command reads too', () => {
    for (const shared of ['none', 'gate', 'up'] as const) {
      const { r, x, w } = start();
      const gate = linear(r, x, w('gate'));
      const up = linear(r, x, w('up'));
      keep(r, swiglu(r, gate, up, 'act'));
      if (shared === 'gate') keep(r, gate);
      if (shared === 'up') keep(r, up);
      expect(dispatched(r).includes('swiglu'), shared).toBe(shared !== 'none');
    }
  });

  test('keeps windows that another command reads too', () => {
    const grid = 4;
    for (const shared of [false, true]) {
      const r = new Recorder('windows');
      const x = r.input('x', grid * grid, 32);
      const y = r.output('y', 2, 32);
      const maps = [2, 4].map((kernel, i) => {
        const map = crop(r, x, grid, kernel, `map ${i}`);
        linear(r, map, r.matrix(`w${i}`, 32, map.cols), { y: rowsOf(y, i, 1) });
        return map;
      });
      if (shared) keep(r, maps[0]);
      expect(dispatched(r).filter((kernel) => kernel === 'window')).toHaveLength(shared ? 2 : 1);
    }
  });
});

/** The program with the named scratch tensors as outputs, as a tap makes them. */
function retapped(program: Program, taps: ReadonlySet<string> = new Set()): Program {
  const storages = program.storages.map((storage) =>
    storage.kind === 'scratch' && taps.has(storage.name) ? { ...storage, kind: 'output' as const } : storage,
  );
  const outputs = storages.flatMap(({ kind }, index) => {
    if (kind !== 'output') return [];
    const known = program.outputs.find(({ storage }) => storage === index);
    const [first] = program.commands.flatMap((command) =>
      operands(command).writes.filter(({ storage }) => storage === index),
    );
    // Nobody may write it any more: the commands of the prefix's last layer are left out.
    return (known ?? first) ? [known ?? first] : [];
  });
  return { ...program, storages, outputs };
}

describe('decoding', { timeout: 120_000 }, () => {
  afterEach(() => vi.restoreAllMocks());

  test('makes no pipeline, bind group or buffer in 50 steps', async () => {
    const gpu = await openTestGpu('swiftshader');
    const adapter = await gpu.requestAdapter();
    const device = await adapter?.requestDevice();
    if (!device) throw new Error('no device');
    const spies = {
      pipelines: vi.spyOn(device, 'createComputePipelineAsync'),
      modules: vi.spyOn(device, 'createShaderModule'),
      bindGroups: vi.spyOn(device, 'createBindGroup'),
      buffers: vi.spyOn(device, 'createBuffer'),
    };
    const counts = (): Record<string, number> =>
      Object.fromEntries(Object.entries(spies).map(([name, spy]) => [name, spy.mock.calls.length]));
    const model = { name: 'cropping', ...(await readGolden('cropping')) };
    const backend = await createWebGpu(createTestHost({ gpu }), { gpu: device, precision: 'f32' });
    try {
      await loadGolden(backend, model);
      await runVision(backend, model);
      const { ids, pos } = await runPrefix(backend, model);
      await runSteps(backend, model, { ids, pos }, 1);
      const prompt = await backend.compile(tokensProgram(model.config, ids.length));
      const step = await backend.compile(tokensProgram(model.config, 1));
      const decode = async (count: number): Promise<void> => {
        const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
        const options = { prompt, ids, pos, step, known: [], count, sampling, draw: () => 0 };
        let taken = 0;
        for await (const id of backend.decode(options)) taken += id < model.config.text.vocab ? 1 : 0;
        expect(taken).toBe(count);
      };
      await decode(8);
      const before = counts();
      // A kernel, a bind group for each dispatch.
      expect(before.pipelines).toBeGreaterThan(10);
      expect(before.pipelines).toBe(before.modules);
      await decode(50);
      expect(counts()).toEqual(before);
      let at = pos + ids.length;
      for (let i = 0; i < 50; i++) {
        await backend.run(step, { inputs: { ids: Uint32Array.of(7) }, pos: at++ });
      }
      expect(counts()).toEqual(before);
    } finally {
      await backend.dispose();
      device.destroy();
    }
  });
});
