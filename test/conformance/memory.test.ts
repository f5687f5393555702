/** What the WASM backend plans before it loads: each thread's part must fit the 4 GB that a 32-bit memory can have. */
import { afterEach, describe, expect, it } from 'vitest';
import type { StoredWeight } from '../../packages/core/src/backend/index.ts';
import {
  createWasm,
  type WasmBackend,
  type WasmOptions,
} from '../../packages/core/src/backends/wasm/index.ts';
import type { Program } from '../../packages/core/src/ops/index.ts';
import { parseModelConfig } from '../../packages/core/src/models/config.ts';
import { prefixProgram, tokensProgram, visionProgram } from '../../packages/core/src/pipeline/programs.ts';
import { createTestHost } from '../support/host.ts';
import { Random } from '../support/random.ts';
import { storeVector, storeWeight } from '../support/weights.ts';
import { chainCases } from './cases/chains.ts';
import { normCases } from './cases/norms.ts';
import { check, ErrorTable, Truth } from './harness.ts';

const GB = 2 ** 30;
const seed = 31;

/** Vicuna-7B behind CLIP-ViT-L/14-336, six covering kernels and a detail kernel of 16; `tiny` has the same parts. */
function programsOf(size: 'published' | 'tiny', context: number): Program[] {
  const full = size === 'published';
  const config = parseModelConfig({
    model_type: 'llava_sp',
    architectures: ['LlavaSpForConditionalGeneration'],
    image_token_index: 2,
    vision_feature_layer: -2,
    vision_feature_select_strategy: 'default',
    projector_hidden_act: 'gelu',
    image_aspect_ratio: 'pad',
    vision_config: {
      model_type: 'clip_vision_model',
      num_channels: 3,
      image_size: full ? 336 : 48,
      patch_size: full ? 14 : 4,
      hidden_act: 'quick_gelu',
      layer_norm_eps: 1e-5,
      hidden_size: full ? 1024 : 64,
      intermediate_size: full ? 4096 : 128,
      num_hidden_layers: full ? 24 : 3,
      num_attention_heads: full ? 16 : 2,
    },
    text_config: {
      model_type: 'llama',
      vocab_size: full ? 32_000 : 512,
      max_position_embeddings: context,
      bos_token_id: 0,
      eos_token_id: 1,
      hidden_size: full ? 4096 : 128,
      intermediate_size: full ? 11_008 : 192,
      num_hidden_layers: full ? 32 : 2,
      num_attention_heads: full ? 32 : 4,
      num_key_value_heads: full ? 32 : 2,
      rms_norm_eps: 1e-5,
      hidden_act: 'silu',
      rope_theta: 1e4,
      tie_word_embeddings: false,
      attention_bias: false,
    },
    spatial_config: {
      type: 'cropping',
      num_tokens: 6,
      feature_size: full ? 512 : 64,
      detail: { kernel_size: full ? 16 : 8, stride: 2 },
    },
  });
  return [visionProgram(config), prefixProgram(config, 40), tokensProgram(config, 1)];
}

/** As the converter stores a model: int4, but for vectors. Nobody reads them. */
function described(programs: readonly Program[]): StoredWeight[] {
  const refs = new Map(programs.flatMap(({ weights }) => weights.map((ref) => [ref.name, ref])));
  const readRows = () => Promise.reject(new Error('planning reads no weights'));
  return [...refs.values()].map((ref) =>
    ref.kind === 'matrix' && ref.k % 64 === 0
      ? { ref, format: 'q4', dtype: 'F16', group: 64, readRows }
      : { ref, format: ref.kind === 'matrix' ? 'f16' : 'f32', dtype: 'F16', group: 0, readRows },
  );
}

let backend: WasmBackend | null = null;
afterEach(async () => {
  await backend?.dispose();
  backend = null;
});

/** A machine of two cores. */
async function start(options: WasmOptions, sharedMemory = true): Promise<WasmBackend> {
  const host = { ...createTestHost({ sharedMemory }), hardwareConcurrency: 2 };
  backend = await createWasm(host, { variant: 'simd', ...options });
  return backend;
}

function choice(what: string) {
  return backend?.report.choices.find((made) => made.what === what);
}

describe('Vicuna-7B in int4', () => {
  const programs = programsOf('published', 4096);
  const weights = described(programs);

  it('takes a shorter context on two threads, and says why', async () => {
    const { context } = await (await start({})).reserve(weights, programs, 2048);
    expect(backend?.report.threads).toBe(2);
    expect(context).toBeGreaterThanOrEqual(2048);
    expect(context).toBeLessThan(4096);
    expect(choice('context')?.chosen).toBe(`${context} tokens`);
    expect(choice('context')?.reason).toContain('do not fit 4 GB');
    // All of it is there before a byte is read: the weights, and keys and values of that context.
    const { total } = await (backend as WasmBackend).memory();
    expect(total).toBeGreaterThan(4.3 * GB + 2 * 32 * 4096 * 4 * (context ?? 0));
    expect(total).toBeLessThan(8 * GB);
  });

  it('keeps a context that was asked for, on more threads than cores', async () => {
    expect(await (await start({ keepContext: true })).reserve(weights, programs)).toEqual({ context: null });
    expect(backend?.report.threads).toBe(4);
    expect(choice('threads')).toMatchObject({ chosen: '4' });
    expect(choice('threads')?.reason).toMatch(/4 GB.*with 2 the model does not fit, with 4/);
    expect(choice('context')).toBeUndefined();
  });

  it('takes two threads where one was asked for', async () => {
    const short = programsOf('published', 2048);
    await (await start({ threads: 1 })).reserve(weights, short);
    expect(backend?.report.threads).toBe(2);
  });

  it('is refused where memory cannot be shared, before a byte is read', async () => {
    const refused = (await start({}, false)).reserve(weights, programs);
    await expect(refused).rejects.toMatchObject({
      name: 'DeviceError',
      code: 'OUT_OF_MEMORY',
      fix: expect.stringContaining('cross-origin isolation') as string,
    });
  });
});

describe.each([1, 3])('a small model on %i threads', (threads) => {
  it('has room for all of itself from the start', async () => {
    const programs = programsOf('tiny', 300);
    const random = new Random(seed);
    const weights = described(programs).map(({ ref, format, group }) => {
      const values = random.normals(ref.n * ref.k, 0.1);
      const storing = format === 'q4' ? { format, group } : ref.kind === 'matrix' ? { format } : null;
      return storing ? storeWeight(ref, values, storing) : storeVector(ref, values);
    });
    await start({ threads });
    const made = backend as WasmBackend;
    expect(await made.reserve(weights, programs)).toEqual({ context: null });
    const { total } = await made.memory();
    await Promise.all(weights.map((weight) => made.loadWeight(weight)));
    await made.createCache(programs[2].caches);
    for (const program of programs) await made.compile(program);
    const after = await made.memory();
    expect(after.weights).toBeGreaterThan(1e5);
    // Only what is on its way into the packed layout, and the recorded lists, come on top.
    expect(after.total - total).toBeLessThan(threads * (8 << 20));
    expect(total).toBeGreaterThan(after.weights + after.cache + after.scratch);
  });
});

it('computes at the upper end of a memory of 4 GB', async () => {
  const made = await start({ threads: 2 });
  // 3.75 GB a thread that nothing touches: what is loaded after it lies where addresses have their highest bit set.
  const layers = [0, 1, 2].map((layer) => ({ layer, kvHeads: 64, headDim: 128, context: 40_960 }));
  await made.createCache(layers);
  const { total } = await made.memory();
  expect(total).toBeGreaterThan(2 * 3.7 * GB);
  const cases = [...chainCases(), ...normCases()].filter((_, i) => i % 4 === 0);
  const failures = await check(made, '4 GB', cases, new Truth(), new ErrorTable());
  expect(failures.slice(0, 3).join('\n')).toBe('');
});
