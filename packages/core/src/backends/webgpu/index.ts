/** The WebGPU backend: programs become lists of WGSL kernels (see fuse.ts and lower.ts) that are encoded once a run. */
import type {
  Backend,
  BackendMemory,
  BackendReport,
  DecodeOptions,
  Executable,
  KvSnapshot,
  Reserved,
  RunOptions,
  StoredWeight,
} from '../../backend/index.ts';
import { throwIfAborted, untilAborted } from '../../errors/index.ts';
import type { Host } from '../../host.ts';
import type { KvCacheRef, Program, WeightRef } from '../../ops/index.ts';
import { Angles } from './angles.ts';
import { Compiled } from './compiled.ts';
import { decodeTokens, isGreedy } from './decode.ts';
import { openDevice, type GpuOptions, type OpenDevice } from './device.ts';
import type { BufferRef } from './dispatch.ts';
import { fuse, weightGroups, type FuseOptions } from './fuse.ts';
import { DispatchList } from './list.ts';
import { lower } from './lower.ts';
import type { LoweringContext } from './lowering.ts';
import { GpuMemory } from './memory.ts';
import { structBytes, writeStruct } from './params.ts';
import { Pipelines } from './pipelines.ts';
import { Readback } from './readback.ts';
import { Samplers } from './samplers.ts';
import { assign, ScratchPool } from './scratch.ts';
import { chooseVariants, type Chosen, type Trial } from './select/choose.ts';
import type { Selection } from './select/selection.ts';
import { RUN_FIELDS, type KernelName, type Options } from './shader.ts';
import { timePass } from './timing.ts';
import { Weights } from './weights.ts';

export interface WebGpuOptions extends GpuOptions {
  /** Arithmetic of products: `auto` takes f16 where the adapter has it and it passes the self-test. */
  readonly precision?: 'auto' | 'f32' | 'f16';
  /** For tests: forces variants of kernels. */
  readonly variants?: Partial<Record<KernelName, string>>;
  /** For tests: whether x is rounded to int8 for quantised weights of many rows. */
  readonly int8?: boolean;
  /** For tests: NaN in all scratch memory before each run. */
  readonly poison?: boolean;
  /** For tests: a smaller limit of one binding than the device's own, in bytes. */
  readonly maxBinding?: number;
}

/** Dispatches of one submit: a driver's watchdog counts the time of each. */
const SLICE = 64;
/** A run that took longer than this, in milliseconds, is next time submitted slice after slice, to hear an abort. */
const SLOW = 300;
const RUN_BYTES = structBytes(RUN_FIELDS);

/**
 * Opens a device and takes the fastest kernels that work on it.
 *
 * @throws {UnsupportedError} `BACKEND_UNAVAILABLE`; {@link DeviceError} `SELF_TEST_FAILED`.
 */
export async function createWebGpu(host: Host, options: WebGpuOptions = {}): Promise<WebGpuBackend> {
  const open = await openDevice(host, options);
  try {
    const memory = new GpuMemory(open);
    const pipelines = new Pipelines(open, memory);
    const chosen = await chooseVariants(host, open, options, trialsOn(open, pipelines));
    return new WebGpuBackend(open, chosen, options, memory, pipelines);
  } catch (error) {
    open.dispose();
    throw error;
  }
}

/** Backends to try selections with on one device, which share its compiled kernels. */
function trialsOn(open: OpenDevice, pipelines: Pipelines): Trial {
  return (selection) => {
    const chosen = { selection, choices: [], warnings: [] };
    return new WebGpuBackend(open, chosen, { poison: true }, new GpuMemory(open), pipelines);
  };
}

/** Opens a device for `work`, and closes it behind it. @throws as {@link createWebGpu}. */
export async function withTrials<T>(
  host: Host,
  options: GpuOptions,
  work: (open: OpenDevice, trial: Trial) => Promise<T>,
): Promise<T> {
  const open = await openDevice(host, options);
  const memory = new GpuMemory(open);
  try {
    return await work(open, trialsOn(open, new Pipelines(open, memory)));
  } finally {
    open.dispose();
    memory.destroy();
  }
}

/** Where the time of a program goes. */
export interface DispatchTime {
  readonly kernel: KernelName;
  readonly variant: string;
  readonly options: Options;
  /** The kind of fused step that it belongs to. */
  readonly step: string;
  readonly ms: number;
}

interface Snapshot extends KvSnapshot {
  readonly layers: Map<number, GPUBuffer>;
}

interface Shared {
  readonly run: GPUBuffer;
  readonly dummies: readonly GPUBuffer[];
}

export class WebGpuBackend implements Backend {
  readonly report: BackendReport;
  /** What is not as good as it could be, for the caller. */
  readonly warnings: readonly string[];
  readonly selection: Selection;
  readonly open: OpenDevice;
  readonly #options: WebGpuOptions;
  readonly #memory: GpuMemory;
  readonly #weights: Weights;
  readonly #pipelines: Pipelines;
  readonly #scratch: ScratchPool;
  readonly #angles: Angles;
  readonly #samplers: Samplers;
  readonly #states = new Map<string, GPUBuffer>();
  readonly #caches = new Map<number, { ref: KvCacheRef; k: GPUBuffer; v: GPUBuffer }>();
  #shared: Shared | null = null;

  /** `pipelines` may be shared by backends of one device. */
  constructor(
    open: OpenDevice,
    chosen: Chosen,
    options: WebGpuOptions,
    memory: GpuMemory,
    pipelines: Pipelines,
  ) {
    this.open = open;
    this.selection = chosen.selection;
    this.warnings = chosen.warnings;
    this.#options = options;
    this.#memory = memory;
    this.#weights = new Weights(open, this.#memory, options.maxBinding);
    this.#pipelines = pipelines;
    this.#scratch = new ScratchPool(this.#memory);
    this.#angles = new Angles(open, this.#memory);
    this.#samplers = new Samplers(open, this.#memory, this.#pipelines, this.#context());
    this.report = { name: 'webgpu', threads: 0, choices: [...open.choices, ...chosen.choices] };
  }

  async reserve(weights: readonly StoredWeight[], programs: readonly Program[]): Promise<Reserved> {
    const stored = new Map(weights.map((weight) => [weight.ref.name, weight]));
    const keyOf = ({ name }: WeightRef): string => keyFor(stored.get(name));
    const groups = programs.flatMap((program) => weightGroups(program, this.#fuseOptions(keyOf)));
    this.#weights.place(weights, groups);
    return { context: null };
  }

  async loadWeight(weight: StoredWeight, signal?: AbortSignal): Promise<void> {
    await this.open.unlessLost(this.#weights.load(weight, signal));
  }

  async createCache(caches: readonly KvCacheRef[]): Promise<void> {
    const made: GPUBuffer[] = [];
    const make = async (bytes: number, what: string): Promise<GPUBuffer> => {
      const buffer = await this.#memory.storage('cache', bytes, what);
      made.push(buffer);
      return buffer;
    };
    try {
      const all: [number, { ref: KvCacheRef; k: GPUBuffer; v: GPUBuffer }][] = [];
      for (const ref of caches) {
        const bytes = ref.context * ref.kvHeads * ref.headDim * 4;
        all.push([ref.layer, { ref, k: await make(bytes, 'keys'), v: await make(bytes, 'values') }]);
      }
      for (const [layer, cache] of all) this.#caches.set(layer, cache);
    } catch (error) {
      for (const buffer of made) this.#memory.free(buffer);
      throw error;
    }
  }

  async compile(program: Program): Promise<Executable> {
    return this.open.unlessLost(this.#compile(program));
  }

  async run(executable: Executable, options: RunOptions): Promise<readonly Float32Array[]> {
    const compiled = executable as Compiled;
    const { signal, pos = 0 } = options;
    throwIfAborted(signal);
    const start = performance.now();
    await this.#begin(compiled, options);
    await this.#submit(compiled, pos, signal);
    const outputs = await untilAborted(compiled.parts.readback.read(), signal);
    this.open.assertAlive();
    compiled.ms = performance.now() - start;
    return outputs;
  }

  /**
   * Runs a program dispatch by dispatch, waiting for each; milliseconds of each, the wait included. The first run of a
   * kernel includes the driver's compilation.
   */
  async profile(executable: Executable, options: RunOptions): Promise<DispatchTime[]> {
    const compiled = executable as Compiled;
    const { pos = 0 } = options;
    await this.#begin(compiled, options);
    const { list, fused } = compiled.parts;
    const times: DispatchTime[] = [];
    for (const [i, { kernel, variant, options: asked, step }] of list.dispatches.entries()) {
      await this.open.idle();
      const start = performance.now();
      this.#enqueue(compiled, pos, i, i + 1);
      await this.open.idle();
      const ms = performance.now() - start;
      times.push({ kernel, variant, options: asked, step: fused.steps[step].kind, ms });
    }
    return times;
  }

  /** Milliseconds of one run, without its inputs and outputs: the mean of `repeats` one after the other. */
  async time(executable: Executable, options: RunOptions, repeats: number): Promise<number> {
    const compiled = executable as Compiled;
    const { pos = 0 } = options;
    await this.#begin(compiled, options);
    const ms = await timePass(this.open, (pass) => {
      for (let i = 0; i < repeats; i++) compiled.parts.list.encode(pass, pos);
    });
    return ms / repeats;
  }

  async *decode(options: DecodeOptions): AsyncGenerator<number, void, undefined> {
    const { ids, pos, count, known, sampling } = options;
    const [prompt, step] = [options.prompt as Compiled, options.step as Compiled];
    const end = pos + ids.length + count;
    await this.#prepare(prompt, end);
    await this.#prepare(step, end);
    const greedy = isGreedy(sampling);
    const ahead = this.open.adapter.software ? 2 : 4;
    const first = await this.#samplers.get(prompt, step, greedy, this.#run());
    const next = await this.#samplers.get(step, step, greedy, this.#run());
    await this.#samplers.begin(known, ahead);
    const input = step.bufferOf('ids');
    let sampler = first;
    const stepper = {
      ahead,
      prompt: (): void => {
        this.#writeInputs(prompt, { inputs: { ids } });
        this.#writeRun({ pos });
        this.#enqueue(prompt, pos);
      },
      feed: (id: number): void => {
        this.open.device.queue.writeBuffer(input, 0, Uint32Array.of(id));
      },
      sample: (draw: number): Promise<number> => {
        this.open.assertAlive();
        this.#writeRun({ draw, ...fieldsOfSampling(sampling) });
        return this.#samplers.sample(sampler);
      },
      step: (position: number): void => {
        sampler = next;
        this.#writeRun({ pos: position });
        this.#enqueue(step, position);
      },
    };
    yield* decodeTokens(stepper, options);
  }

  async saveCache(tokens: number): Promise<KvSnapshot> {
    const layers = new Map<number, GPUBuffer>();
    const release = (): void => {
      for (const buffer of layers.values()) this.#memory.free(buffer);
      layers.clear();
    };
    try {
      for (const [layer, { ref, k, v }] of this.#caches) {
        const bytes = tokens * ref.kvHeads * ref.headDim * 4;
        const buffer = await this.#memory.storage('cache', 2 * bytes, 'a saved prefix');
        layers.set(layer, buffer);
        this.#copy([k, 0, buffer, 0, bytes], [v, 0, buffer, bytes, bytes]);
      }
    } catch (error) {
      release();
      throw error;
    }
    const snapshot: Snapshot = { tokens, layers, release };
    return snapshot;
  }

  async restoreCache(snapshot: KvSnapshot): Promise<void> {
    this.open.assertAlive();
    const { tokens, layers } = snapshot as Snapshot;
    for (const [layer, buffer] of layers) {
      const { ref, k, v } = this.#cache(layer);
      const bytes = tokens * ref.kvHeads * ref.headDim * 4;
      this.#copy([buffer, 0, k, 0, bytes], [buffer, bytes, v, 0, bytes]);
    }
  }

  async memory(): Promise<BackendMemory> {
    return this.#memory.usage();
  }

  async dispose(): Promise<void> {
    this.open.dispose();
    this.free();
  }

  /** Frees what it made on the device, which stays open. */
  free(): void {
    this.#memory.destroy();
  }

  async #compile(program: Program): Promise<Compiled> {
    this.open.assertAlive();
    const fused = fuse(
      program,
      this.#fuseOptions((ref) => keyFor(this.#weights.matrix(ref))),
    );
    const lowered = lower(fused, this.#context());
    const { storages, dispatches } = lowered;
    const assignment = assign(storages, dispatches);
    await this.#scratch.reserve(assignment.bytes);
    const own = new Map<number, GPUBuffer>();
    for (const [index, { name, kind, size }] of storages.entries()) {
      if (kind === 'state') {
        if (!this.#states.has(name))
          this.#states.set(name, await this.#memory.storage('scratch', size * 4, name));
      } else if (kind !== 'scratch') own.set(index, await this.#memory.storage('scratch', size * 4, name));
    }
    const list = await DispatchList.make(this.open, this.#memory, this.#pipelines, dispatches, program.name);
    const sources = program.outputs.map((tensor) => ({ tensor, buffer: resolved(own.get(tensor.storage)) }));
    const readback = await Readback.make(this.open, this.#memory, sources);
    const release = (): void => {
      list.release();
      readback.release();
      this.#samplers.forget(compiled);
      for (const buffer of own.values()) this.#memory.free(buffer);
    };
    const compiled = new Compiled({ program, fused, lowered, list, assignment, own, readback, release });
    return compiled;
  }

  /** Everything that must exist before a run up to position `end` is encoded. */
  async #prepare(compiled: Compiled, end: number): Promise<void> {
    this.open.assertAlive();
    const { list, lowered, assignment, own, readback } = compiled.parts;
    for (const { theta, headDim } of compiled.angles) await this.#angles.reserve(theta, headDim, end);
    await readback.ready();
    const vectors = await this.#weights.vectorBuffer();
    this.#shared ??= {
      run: await this.#memory.uniform(RUN_BYTES, 'the run'),
      dummies: [
        await this.#memory.storage('scratch', 16, 'no operand'),
        await this.#memory.storage('scratch', 16, 'no operand'),
      ],
    };
    const { dummies } = this.#shared;
    const generation = this.#weights.generation + this.#scratch.generation + this.#angles.generation;
    if (compiled.bound !== generation) {
      list.bind(this.#run(), (ref: BufferRef): GPUBuffer => {
        switch (ref.kind) {
          case 'storage': {
            const { kind, name } = lowered.storages[ref.index];
            if (kind === 'state') return resolved(this.#states.get(name));
            const slot = assignment.slots.get(ref.index);
            return slot === undefined ? resolved(own.get(ref.index)) : this.#scratch.buffer(slot);
          }
          case 'arena':
            return resolved(ref.arena.buffer ?? undefined);
          case 'vectors':
            return vectors;
          case 'cache':
            return this.#cache(ref.layer)[ref.part];
          case 'angles':
            return this.#angles.buffer(ref.theta, ref.headDim);
          case 'dummy':
            return dummies[ref.index];
          default:
            return ref satisfies never;
        }
      });
      compiled.bound = generation;
    }
    if (this.#options.poison) this.#poison(compiled);
  }

  /** Makes a run ready to be encoded. */
  async #begin(compiled: Compiled, options: RunOptions): Promise<void> {
    const { pos = 0 } = options;
    await this.#prepare(compiled, pos + compiled.rows);
    this.#writeInputs(compiled, options);
    this.#writeRun({ pos });
  }

  #writeInputs(compiled: Compiled, { inputs }: RunOptions): void {
    const { program, parts } = compiled;
    for (const { storage } of program.inputs) {
      const { name, size } = program.storages[storage];
      const input = inputs?.[name];
      if (input?.length !== size) throw new Error(`input ${name} of ${program.name} wants ${size} values`);
      const values = input as Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
      this.open.device.queue.writeBuffer(resolved(parts.own.get(storage)), 0, values);
    }
  }

  #writeRun(values: Partial<Record<string, number>>): void {
    const bytes = new DataView(new ArrayBuffer(RUN_BYTES));
    writeStruct(bytes, 0, RUN_FIELDS, { ...NO_RUN, ...values });
    this.open.device.queue.writeBuffer(this.#run(), 0, bytes.buffer);
  }

  /** Submits dispatches `[from, to)`, by default all; the last takes the outputs to where they can be read, if asked. */
  #enqueue(
    { parts }: Compiled,
    pos: number,
    from = 0,
    to = parts.list.dispatches.length,
    readback = false,
  ): void {
    this.open.assertAlive();
    const encoder = this.open.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    parts.list.encode(pass, pos, from, to);
    pass.end();
    if (readback) parts.readback.encode(encoder);
    this.open.device.queue.submit([encoder.finish()]);
  }

  /** Submits slice by slice; a program that is known to be slow is waited for between slices, so that it can be stopped. */
  async #submit(compiled: Compiled, pos: number, signal: AbortSignal | undefined): Promise<void> {
    const count = compiled.parts.list.dispatches.length;
    for (let from = 0; from < count; from += SLICE) {
      const to = Math.min(count, from + SLICE);
      this.#enqueue(compiled, pos, from, to, to === count);
      if (compiled.ms <= SLOW || to === count) continue;
      await this.open.idle();
      throwIfAborted(signal);
    }
  }

  #copy(...copies: readonly [GPUBuffer, number, GPUBuffer, number, number][]): void {
    const encoder = this.open.device.createCommandEncoder();
    for (const copy of copies) encoder.copyBufferToBuffer(...copy);
    this.open.device.queue.submit([encoder.finish()]);
  }

  #poison({ parts }: Compiled): void {
    const outputs = parts.program.outputs.map(({ storage }) => resolved(parts.own.get(storage)));
    for (const buffer of [...this.#scratch.buffers(), ...outputs]) {
      const nan = new Float32Array(buffer.size / 4).fill(NaN);
      this.open.device.queue.writeBuffer(buffer, 0, nan);
    }
  }

  #run(): GPUBuffer {
    return resolved(this.#shared?.run);
  }

  #cache(layer: number): { ref: KvCacheRef; k: GPUBuffer; v: GPUBuffer } {
    const cache = this.#caches.get(layer);
    if (!cache) throw new Error(`there is no cache for layer ${layer}`);
    return cache;
  }

  #fuseOptions(keyOf: FuseOptions['keyOf']): FuseOptions {
    return { gemvRows: this.selection.gemvRows, keyOf };
  }

  #context(): LoweringContext {
    return {
      selection: this.selection,
      matrix: (ref) => this.#weights.matrix(ref),
      vector: (ref) => this.#weights.vector(ref),
      cache: (ref) => this.#cache(ref.layer).ref,
    };
  }
}

const NO_RUN = { pos: 0, top_k: 0, top_p: 1, min_p: 0, temperature: 0, penalty: 1, draw: 0 };

function fieldsOfSampling({ temperature, topK, topP, minP, repetitionPenalty }: DecodeOptions['sampling']) {
  return { temperature, top_k: topK, top_p: topP, min_p: minP, penalty: repetitionPenalty };
}

/** Matrices with the same key have the same layout. */
function keyFor(weight: (Pick<StoredWeight, 'format' | 'group'> & { unit?: number }) | undefined): string {
  return weight ? `${weight.format} ${weight.group} ${weight.unit ?? 1}` : '';
}

function resolved<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a buffer that was never made');
  return value;
}
