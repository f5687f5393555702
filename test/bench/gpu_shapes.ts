/** A whole model of random q4 weights on the GPU: load, vision, prefill, decode, and where the time goes. */
import type { StoredWeight } from '../../packages/core/src/backend/index.ts';
import type { Compiled } from '../../packages/core/src/backends/webgpu/compiled.ts';
import type { Dispatch } from '../../packages/core/src/backends/webgpu/dispatch.ts';
import { createWebGpu, type WebGpuBackend } from '../../packages/core/src/backends/webgpu/index.ts';
import { rowBytes, scaleBytes } from '../../packages/core/src/backends/webgpu/pack.ts';
import { timePass } from '../../packages/core/src/backends/webgpu/timing.ts';
import type { Program } from '../../packages/core/src/ops/index.ts';
import { tokensProgram, visionProgram } from '../../packages/core/src/pipeline/programs.ts';
import { Random } from '../support/random.ts';
import { gpuHost } from './gpu_open.ts';
import type { Size } from './gpu_roof.ts';
import { recordText, recordVision } from './model_programs.ts';
import { shapes, type ShapeName } from './model_shapes.ts';
import { GROUP, noiseValues, randomWeight } from './model_weights.ts';

/** All times in milliseconds, all sizes in bytes. */
export interface ShapeFigures {
  readonly name: ShapeName;
  readonly precision: string;
  /** Chosen variants by kernel, and whether x is rounded to int8. */
  readonly variants: Readonly<Record<string, string>>;
  readonly int8: boolean;
  readonly choices: readonly { what: string; chosen: string; reason: string }[];
  readonly warnings: readonly string[];
  /** Opening the device and choosing kernels. */
  readonly open: number;
  /** Making random weights, packing and uploading them. */
  readonly load: number;
  readonly memory: { weights: number; cache: number; scratch: number; total: number };
  readonly vision?: Timed;
  readonly prefill?: Timed & { tokens: number };
  readonly decode?: DecodeFigures;
}

/** A program. */
export interface Timed {
  readonly compile: number;
  /** The first run: a driver may compile only then. */
  readonly first: number;
  /** The fastest of several, inputs and outputs included. */
  readonly wall: number;
  /** The fastest on the GPU's own clock, all dispatches in one pass. */
  readonly gpu: number;
  readonly dispatches: number;
  readonly kernels: readonly KernelShare[];
}

export interface DecodeFigures extends Timed {
  /** Tokens in the cache when it began. */
  readonly context: number;
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** Weights that one step reads, scales included. */
  readonly weightBytes: number;
  /** 1e9 bytes of weights a second, by tokens a second. */
  readonly gbs: number;
}

/** All dispatches of a program that run one pipeline, each measured alone. */
export interface KernelShare {
  readonly kernel: string;
  readonly variant: string;
  readonly options: Readonly<Record<string, string | number | boolean>>;
  readonly count: number;
  readonly ms: number;
  /** Of linears: 1e9 bytes of weights and 1e9 multiplications a second. */
  readonly gbs?: number;
  readonly gmacs?: number;
}

const PLANS = {
  full: { prefill: 640, warm: 16, tokens: 128, repeats: 5 },
  software: { prefill: 64, warm: 2, tokens: 8, repeats: 1 },
  quick: { prefill: 32, warm: 4, tokens: 8, repeats: 2 },
} as const;

export interface ShapeOptions {
  readonly precision: 'auto' | 'f32' | 'f16';
}

export async function measureShape(
  name: ShapeName,
  size: Size,
  { precision }: ShapeOptions,
  save: (figures: ShapeFigures) => void,
): Promise<void> {
  const plan = PLANS[size];
  const { vision, tokens } = programsOf(name);
  const prompt = tokens?.(plan.prefill);
  const step = tokens?.(1);
  const programs = [vision, prompt, step].filter((program) => program !== undefined);
  const start = performance.now();
  const backend = await createWebGpu(gpuHost(), { precision });
  try {
    const opened = performance.now();
    await load(backend, programs);
    if (step) await backend.createCache(step.caches);
    await backend.open.idle();
    const loaded = performance.now();
    const { variants, int8 } = backend.selection;
    const { choices } = backend.report;
    let figures: ShapeFigures = {
      name,
      precision,
      variants,
      int8,
      choices,
      warnings: backend.warnings,
      open: opened - start,
      load: loaded - opened,
      memory: await backend.memory(),
    };
    const add = async (more: Partial<ShapeFigures>): Promise<void> => {
      figures = { ...figures, ...more, memory: await backend.memory() };
      save(figures);
    };
    await add({});
    if (vision) {
      const pixels = noiseValues(vision.storages[vision.inputs[0].storage].size);
      const { timed, compiled } = await time(backend, vision, { pixels }, plan.repeats, 0);
      compiled.release();
      await add({ vision: timed });
    }
    if (prompt && step) {
      const { ids, compiled, prefill } = await timePrefill(backend, prompt, plan.repeats);
      await add({ prefill });
      await add({ decode: await timeDecode(backend, compiled, step, ids, plan) });
    }
  } finally {
    await backend.dispose();
  }
}

/** What a shape runs: pixels to visual tokens, and so many tokens to the logits of the last. */
function programsOf(name: ShapeName): { vision?: Program; tokens?: (rows: number) => Program } {
  const shape = shapes[name];
  switch (shape.kind) {
    case 'text':
      return { tokens: (rows) => recordText(shape.text, rows) };
    case 'vision':
      return { vision: recordVision(shape) };
    case 'llava':
      return { vision: visionProgram(shape.config), tokens: (rows) => tokensProgram(shape.config, rows) };
    default:
      return shape satisfies never;
  }
}

async function load(backend: WebGpuBackend, programs: readonly Program[]): Promise<void> {
  const refs = new Map(programs.flatMap(({ weights }) => weights.map((ref) => [ref.name, ref] as const)));
  const weights = [...refs.values()].map(randomWeight);
  await backend.reserve(weights, programs);
  for (const weight of weights) await backend.loadWeight(weight);
}

async function timePrefill(backend: WebGpuBackend, prompt: Program, repeats: number) {
  const rows = prompt.inputs[0].rows;
  const vocab = prompt.outputs[0].cols;
  const random = new Random(1);
  const ids = Uint32Array.from({ length: rows }, () => random.below(vocab));
  const { timed, compiled } = await time(backend, prompt, { ids }, repeats, 0);
  return { ids, compiled, prefill: { ...timed, tokens: rows } };
}

async function timeDecode(
  backend: WebGpuBackend,
  prompt: Compiled,
  step: Program,
  ids: Uint32Array,
  { warm, tokens, repeats }: (typeof PLANS)[Size],
): Promise<DecodeFigures> {
  const one = { ids: ids.subarray(0, 1) };
  const { timed, compiled } = await time(backend, step, one, repeats, ids.length);
  const greedy = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
  let best = Infinity;
  for (let i = 0; i < Math.min(3, repeats); i++) {
    const decoding = backend.decode({
      prompt,
      ids,
      pos: 0,
      step: compiled,
      known: [],
      count: warm + tokens,
      sampling: greedy,
      draw: () => 0,
    });
    let [count, start] = [0, 0];
    for await (const id of decoding) {
      if (id >= step.outputs[0].cols) throw new Error(`token ${id} is none of the vocabulary`);
      count++;
      if (count === warm) start = performance.now();
    }
    if (count !== warm + tokens) throw new Error(`${count} tokens came, not ${warm + tokens}`);
    best = Math.min(best, performance.now() - start);
  }
  const tokensPerSecond = (tokens * 1000) / best;
  const weightBytes = readBytes(step, randomWeight);
  const gbs = (weightBytes * tokensPerSecond) / 1e9;
  return { ...timed, context: ids.length, tokens, tokensPerSecond, weightBytes, gbs };
}

/** Bytes of the matrices that a program multiplies by. */
function readBytes(program: Program, stored: (ref: StoredWeight['ref']) => StoredWeight): number {
  return program.commands.reduce((sum, command) => {
    if (command.op !== 'linear') return sum;
    const { format, group, ref } = stored(command.w);
    return sum + ref.n * (rowBytes(format, ref.k) + scaleBytes(format, ref.k, group));
  }, 0);
}

async function time(
  backend: WebGpuBackend,
  program: Program,
  inputs: Record<string, Float32Array | Uint32Array>,
  repeats: number,
  pos: number,
): Promise<{ timed: Timed; compiled: Compiled }> {
  const clock = stopwatch();
  const compiled = (await backend.compile(program)) as Compiled;
  const compile = clock();
  const outputs = await backend.run(compiled, { inputs, pos });
  const first = clock();
  if (!outputs.every((values) => values.every(Number.isFinite)))
    throw new Error(`${program.name}: outputs that are not finite`);
  let [wall, gpu] = [Infinity, Infinity];
  for (let i = 0; i < repeats; i++) {
    clock();
    await backend.run(compiled, { inputs, pos });
    wall = Math.min(wall, clock());
    gpu = Math.min(gpu, await backend.time(compiled, { inputs, pos }, 1));
  }
  const { dispatches } = compiled.parts.list;
  const kernels = await shares(backend, compiled, pos, repeats);
  return { timed: { compile, first, wall, gpu, dispatches: dispatches.length, kernels }, compiled };
}

/** Each dispatch alone, on the GPU's clock, after a run has left its inputs behind; the fastest of several counts. */
async function shares(
  backend: WebGpuBackend,
  { parts: { list } }: Compiled,
  pos: number,
  repeats: number,
): Promise<KernelShare[]> {
  const found = new Map<string, KernelShare & { bytes: number; macs: number }>();
  for (const [i, dispatch] of list.dispatches.entries()) {
    let ms = Infinity;
    for (let j = 0; j < repeats; j++)
      ms = Math.min(ms, await timePass(backend.open, (pass) => list.encode(pass, pos, i, i + 1)));
    const { kernel, variant, options } = dispatch;
    const key = JSON.stringify([kernel, variant, options]);
    const known = found.get(key) ?? { kernel, variant, options, count: 0, ms: 0, bytes: 0, macs: 0 };
    const { bytes, macs } = work(dispatch);
    found.set(key, {
      ...known,
      count: known.count + 1,
      ms: known.ms + ms,
      bytes: known.bytes + bytes,
      macs: known.macs + macs,
    });
  }
  return [...found.values()]
    .sort((a, b) => b.ms - a.ms)
    .map(({ bytes, macs, ...share }) =>
      bytes === 0 ? share : { ...share, gbs: bytes / share.ms / 1e6, gmacs: macs / share.ms / 1e6 },
    );
}

/** Bytes of weights and multiplications of a linear's dispatch; zeros for the rest. */
function work({ kernel, options, params, groups }: Dispatch): { bytes: number; macs: number } {
  const format = options.FORMAT as StoredWeight['format'];
  const bytesOf = (n: number, k: number) => n * (rowBytes(format, k) + scaleBytes(format, k, GROUP));
  const [n, k] = [Number(params.n), Number(params.k)];
  switch (kernel) {
    case 'linear_gemv': {
      const all = options.PAIR ? 2 * n : n;
      const rows = typeof groups === 'function' ? 1 : groups[2];
      return { bytes: bytesOf(all, k), macs: rows * all * k };
    }
    case 'linear_gemv_split': {
      // Two vectors of four a part, the second value its k.
      const parts = params.parts as readonly number[];
      const lengths = parts.filter((_, i) => i % 8 === 1);
      return {
        bytes: lengths.reduce((sum, length) => sum + bytesOf(n, length), 0),
        macs: lengths.reduce((sum, length) => sum + n * length, 0),
      };
    }
    case 'linear_gemm':
    case 'linear_gemm_int8':
      return { bytes: bytesOf(n, k), macs: Number(params.rows) * n * k };
    default:
      return { bytes: 0, macs: 0 };
  }
}

/** Milliseconds since it was last asked. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const passed = now - last;
    last = now;
    return passed;
  };
}
