/** One thread of the backend: its memory, its rows of the weights, and the command lists it replays. */
import type { StoredDType, WeightFormat } from '../../backend/index.ts';
import { DeviceError } from '../../errors/index.ts';
import type { KvCacheRef, Program, WeightRef } from '../../ops/index.ts';
import { assertFinite, notFinite, toFloat32, type FloatFormat } from '../../weights/floats.ts';
import { encode, DTYPE_CODE, type Argument, type Step } from './commands.ts';
import { Exchange, type Slot, type SlotViews } from './exchange.ts';
import { PrivateMemory } from './memory.ts';
import { cachePart, needsOf, weightPart, type Needs, type Sizes, type Workload } from './needs.ts';
import { plan, type Plan, type PlanContext, type ResidentCache, type ResidentWeight } from './plan.ts';
import type { KernelChoice } from './select/linear.ts';
import { free, Staging } from './staging.ts';
import { toHwi } from '../../backend/stored.ts';

/** What the kernels' module exports; numbers are bytes or addresses. */
interface KernelExports extends Sizes {
  run(list: number, count: number): number;
  scales_shift(at: number, count: number, dtype: number): number;
  all_finite(at: number, bytes: number, dtype: number): number;
  __heap_base: WebAssembly.Global;
}

/** Rows `[row, row + rows)` of this thread's part of a weight, as stored. */
export interface RowsMessage {
  /** The weight's. */
  name: string;
  row: number;
  rows: number;
  values: Uint8Array;
  scales?: Uint8Array;
  biases?: Uint8Array;
}

export interface WeightMessage {
  ref: WeightRef;
  format: WeightFormat;
  dtype: StoredDType;
  group: number;
  /** All scales and biases of this thread's rows when their type is not f16: their range decides a common shift. */
  range?: Uint8Array;
}

interface List {
  readonly program: Program;
  plan: Plan;
  /** Address of the encoded words; 0 when the list must be encoded again. */
  at: number;
  /** Byte offset of each step, and of the end. */
  stepAt: Uint32Array;
  /** Views for exchanges, made for `buffer`. */
  slots: SlotViews[];
  buffer: ArrayBuffer | null;
}

export interface EngineOptions {
  rank: number;
  threads: number;
  module: WebAssembly.Module;
  /** `null` for one thread. */
  exchange: SharedArrayBuffer | null;
  choice: KernelChoice;
  /** There are more threads than cores. */
  crowded: boolean;
  /** For tests: scratch memory is filled with NaN before each run, so that an output nobody wrote shows. */
  poison: boolean;
}

export class Engine {
  readonly rank: number;
  readonly threads: number;
  readonly #memory = new PrivateMemory();
  readonly #staging = new Staging(this.#memory);
  readonly #kernels: KernelExports;
  readonly #exchange: Exchange | null;
  readonly #choice: KernelChoice;
  readonly #poison: boolean;
  readonly #pos: number;
  readonly #weights = new Map<string, ResidentWeight>();
  readonly #caches = new Map<number, ResidentCache & { ref: KvCacheRef; heads: number }>();
  readonly #states = new Map<string, { at: number; bytes: number }>();
  readonly #constants = new Map<string, number>();
  readonly #lists = new Map<number, List>();
  readonly #snapshots = new Map<number, Uint8Array[]>();
  #scratch = { at: 0, bytes: 0 };
  #bytes = { weights: 0, cache: 0 };
  /** Weights whose rows are coming, by name. */
  readonly #pending = new Map<string, { message: WeightMessage; at: number; shift: number; n: number }>();
  /** Slots of the list that runs now. */
  #active: SlotViews[] = [];

  constructor(options: EngineOptions) {
    this.rank = options.rank;
    this.threads = options.threads;
    this.#choice = options.choice;
    this.#poison = options.poison;
    const { exchange: shared, threads, crowded } = options;
    this.#exchange = shared ? new Exchange(shared, threads, crowded) : null;
    const exchange = (slot: number): void => this.#exchange?.run(this.#active[slot]);
    const instance = new WebAssembly.Instance(options.module, {
      env: { memory: this.#memory.memory, exchange },
    });
    this.#kernels = instance.exports as unknown as KernelExports;
    this.#memory.start(Number(this.#kernels.__heap_base.value));
    this.#pos = this.#memory.alloc(4);
  }

  /** What one of `threads` threads would hold. */
  needs(workload: Workload, threads: number): Needs {
    return needsOf(workload, threads, this.#kernels, this.#choice);
  }

  /** Makes sure of so many bytes more than are in use. */
  reserve(bytes: number): void {
    this.#memory.reserve(bytes);
  }

  // Weights

  /** Starts a weight: its rows follow by {@link addRows}, then {@link endWeight}; those of others may come between. */
  beginWeight(message: WeightMessage): void {
    const { ref, format, group, dtype, range } = message;
    const { starts, rows: n, bytes } = weightPart(message, this.rank, this.threads, this.#kernels);
    const at = this.#memory.alloc(bytes);
    let shift = 0;
    if (range) {
      const count = range.length / (dtype === 'F32' ? 4 : 2);
      const [scales] = this.#staging.put(range);
      shift = this.#kernels.scales_shift(scales, count, DTYPE_CODE[dtype]);
    }
    this.#bytes.weights += bytes;
    this.#pending.set(ref.name, { message, at, shift, n });
    this.#weights.set(ref.name, { at, format, group, starts });
  }

  addRows(rows: RowsMessage): void {
    const pending = this.#pending.get(rows.name);
    if (!pending) throw new Error(`${rows.name} was not begun`);
    const { message, at, shift, n } = pending;
    const { ref, format, dtype, group } = message;
    const name = ref.name;
    const place = { dst: at, n, k: ref.k, row0: rows.row, rows: rows.rows, dtype: DTYPE_CODE[dtype] };
    if (rows.scales && rows.biases) {
      const [codes, scales, biases] = this.#staging.put(rows.values, rows.scales, rows.biases);
      const sizes = { scales: rows.scales.length, biases: rows.biases.length };
      for (const bytes of [rows.values, rows.scales, rows.biases]) free(bytes);
      this.#assertFinite(scales, sizes.scales, dtype, name);
      this.#assertFinite(biases, sizes.biases, dtype, name);
      const kernel = format === 'q4' ? 'repack_q4' : 'repack_q8';
      this.#execute({ kernel, args: { ...place, codes, scales, biases, group, shift } });
      return;
    }
    if (ref.kind === 'vector') {
      assertFinite(rows.values, formatOf(dtype), name);
      new Float32Array(this.#memory.buffer, at, ref.n).set(toFloat32(rows.values, formatOf(dtype)));
      return;
    }
    const values = ref.order === 'oihw' ? toHwi(rows.values, rows.rows, ref.kernel, dtype) : rows.values;
    const [x] = this.#staging.put(values);
    const { length } = values;
    free(values);
    this.#assertFinite(x, length, dtype, name);
    this.#execute({ kernel: format === 'f32' ? 'repack_f32' : 'repack_f16', args: { ...place, x } });
  }

  #assertFinite(at: number, bytes: number, dtype: StoredDType, name: string): void {
    if (this.#kernels.all_finite(at, bytes, DTYPE_CODE[dtype]) === 0) throw notFinite(name);
  }

  endWeight(name: string): void {
    this.#pending.delete(name);
  }

  createCaches(caches: readonly KvCacheRef[]): void {
    this.#staging.end();
    for (const ref of caches) {
      const { heads, bytes } = cachePart(ref, this.rank, this.threads, this.#kernels);
      const keys = this.#memory.alloc(bytes);
      const values = this.#memory.alloc(bytes);
      this.#bytes.cache += 2 * bytes;
      this.#caches.set(ref.layer, { keys, values, context: ref.context, ref, heads });
    }
  }

  // Programs

  compile(id: number, program: Program): void {
    const lowered = plan(program, this.#context());
    if (lowered.scratchBytes > this.#scratch.bytes) this.#growScratch(lowered.scratchBytes);
    const list = { program, plan: lowered, at: 0, stepAt: new Uint32Array(0), slots: [], buffer: null };
    this.#lists.set(id, list);
    this.#prepare(list);
  }

  release(id: number): void {
    const list = this.#lists.get(id);
    if (list) this.#forget(list);
    this.#lists.delete(id);
  }

  /** Writes the inputs and the position, before the first slice of a run. */
  begin(id: number, inputs: readonly (Float32Array | Uint32Array)[], pos: number): void {
    const list = this.#list(id);
    this.#prepare(list);
    const { buffer } = this.#memory;
    if (this.#poison) new Float32Array(buffer, this.#scratch.at, this.#scratch.bytes / 4).fill(NaN);
    new Uint32Array(buffer, this.#pos, 1)[0] = pos;
    inputs.forEach((input, i) => {
      const bytes = new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
      new Uint8Array(buffer, this.#resolve(list.plan, list.plan.inputs[i]), bytes.length).set(bytes);
    });
  }

  /** Runs the program's commands `[from, to)`; the gathers that outputs need come after the last. */
  run(id: number, from: number, to: number): void {
    const list = this.#list(id);
    const { firstStep } = list.plan;
    const last = to === list.program.commands.length;
    const begin = firstStep[from];
    const end = last ? list.plan.steps.length : firstStep[to];
    if (end === begin) return;
    this.#active = list.slots;
    this.#call(list.at + list.stepAt[begin], end - begin);
  }

  /** A whole run at once: one call into the kernels, and nothing allocated in their memory. */
  step(id: number, inputs: readonly (Float32Array | Uint32Array)[], pos: number): void {
    this.begin(id, inputs, pos);
    this.run(id, 0, this.#list(id).program.commands.length);
  }

  /** Milliseconds of each command of the program, run one by one. */
  profile(id: number): number[] {
    const { length } = this.#list(id).program.commands;
    return Array.from({ length }, (_, i) => {
      const start = performance.now();
      this.run(id, i, i + 1);
      return performance.now() - start;
    });
  }

  /** The outputs, as views of this thread's memory. */
  outputs(id: number): Float32Array[] {
    const { plan: lowered, program } = this.#list(id);
    return program.outputs.map((t, i) => {
      const at = this.#resolve(lowered, lowered.outputs[i]);
      return new Float32Array(this.#memory.buffer, at, t.rows * t.cols);
    });
  }

  // KV cache

  save(snapshot: number, tokens: number): void {
    const parts: Uint8Array[] = [];
    for (const [at, bytes] of this.#prefixes(tokens)) {
      parts.push(new Uint8Array(this.#memory.buffer, at, bytes).slice());
    }
    this.#snapshots.set(snapshot, parts);
  }

  restore(snapshot: number, tokens: number): void {
    const parts = this.#snapshots.get(snapshot);
    if (!parts) throw new Error(`no snapshot ${snapshot}`);
    let i = 0;
    for (const [at, bytes] of this.#prefixes(tokens)) {
      new Uint8Array(this.#memory.buffer, at, bytes).set(parts[i++]);
    }
  }

  drop(snapshot: number): void {
    this.#snapshots.delete(snapshot);
  }

  /** Bytes of this thread. */
  usage(): { weights: number; cache: number; scratch: number; total: number } {
    let saved = 0;
    for (const parts of this.#snapshots.values()) for (const part of parts) saved += part.length;
    const { weights, cache } = this.#bytes;
    return { weights, cache: cache + saved, scratch: this.#scratch.bytes, total: this.#memory.total + saved };
  }

  /** Lets other threads out of a barrier that this one will never reach. */
  fail(): void {
    this.#exchange?.fail();
  }

  // Inside

  /** Address and bytes of the first `tokens` positions, per layer, keys and values, and head. */
  *#prefixes(tokens: number): Generator<[number, number]> {
    for (const { keys, values, ref, heads, context } of this.#caches.values()) {
      // The kernels say how far a prefix reaches: keys lie in blocks of positions.
      const perHead = this.#kernels.kv_cache_bytes(1, ref.headDim, context);
      const bytes = this.#kernels.kv_cache_bytes(1, ref.headDim, tokens);
      for (const base of [keys, values]) {
        for (let h = 0; h < heads; h++) yield [base + h * perHead, bytes];
      }
    }
  }

  #context(): PlanContext {
    return {
      rank: this.rank,
      threads: this.threads,
      choice: this.#choice,
      pos: this.#pos,
      weight: (ref) => {
        const weight = this.#weights.get(ref.name);
        if (!weight) throw new Error(`weight ${ref.name} is not loaded`);
        return weight;
      },
      cache: (ref) => {
        const cache = this.#caches.get(ref.layer);
        if (!cache) throw new Error(`no cache for layer ${ref.layer}`);
        return cache;
      },
      state: (name, bytes) => {
        const known = this.#states.get(name);
        if (known && known.bytes === bytes) return known.at;
        if (known) throw new Error(`state ${name} has two sizes`);
        const at = this.#memory.alloc(bytes);
        this.#states.set(name, { at, bytes });
        return at;
      },
      constant: (key, values, kind) => this.#constant(key, values, kind),
      actQ8Bytes: (rows, k) => this.#kernels.act_q8_bytes(rows, k),
      attentionScratchBytes: (rows, d) => this.#kernels.attention_scratch_bytes(rows, d),
    };
  }

  #constant(key: string, values: () => ArrayLike<number>, kind: 'u32' | 'f32'): number {
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const list = values();
    const at = this.#memory.alloc(list.length * 4);
    const View = kind === 'u32' ? Uint32Array : Float32Array;
    new View(this.#memory.buffer, at, list.length).set(list);
    this.#constants.set(key, at);
    return at;
  }

  #list(id: number): List {
    const list = this.#lists.get(id);
    if (!list) throw new Error(`no program ${id}`);
    return list;
  }

  #forget(list: List): void {
    if (list.at) this.#memory.free(list.at);
    list.at = 0;
  }

  /** The block moves: lists that point into the old one are encoded again when they run. */
  #growScratch(bytes: number): void {
    const old = this.#scratch;
    for (const list of this.#lists.values()) this.#forget(list);
    if (old.at) this.#memory.free(old.at);
    try {
      this.#scratch = { at: this.#memory.alloc(bytes), bytes };
    } catch (error) {
      // What fitted before fits again: the other programs stay usable.
      if (old.at) this.#scratch = { at: this.#memory.alloc(old.bytes), bytes: old.bytes };
      throw error;
    }
  }

  /** Encodes a list whose scratch block has moved, and makes its views of a memory that has grown. */
  #prepare(list: List): void {
    if (!list.at) {
      const words: number[] = [];
      list.stepAt = new Uint32Array(list.plan.steps.length + 1);
      list.plan.steps.forEach((step, i) => {
        list.stepAt[i] = words.length * 4;
        words.push(...encode(step, (address) => this.#resolve(list.plan, address)));
      });
      list.stepAt[list.plan.steps.length] = words.length * 4;
      list.at = this.#memory.alloc(words.length * 4);
      new Uint32Array(this.#memory.buffer, list.at, words.length).set(words);
      list.buffer = null;
    }
    if (list.buffer === this.#memory.buffer) return;
    list.buffer = this.#memory.buffer;
    list.slots = list.plan.slots.map((slot) => {
      const placed: Slot = { ...slot, stage: this.#resolve(list.plan, slot.stage) };
      if (!this.#exchange) throw new Error('one thread exchanges nothing');
      return this.#exchange.views(placed, this.#memory.buffer);
    });
  }

  #resolve(lowered: Plan, address: Argument): number {
    return typeof address === 'number'
      ? address
      : this.#scratch.at + lowered.offsets[address.buffer] + address.offset;
  }

  /** Runs one command at once. */
  #execute(step: Step): void {
    const words = encode(step, () => {
      throw new Error('a command run at once has no scratch');
    });
    const at = this.#memory.alloc(words.length * 4);
    new Uint32Array(this.#memory.buffer, at, words.length).set(words);
    this.#call(at, 1);
    this.#memory.free(at);
  }

  #call(at: number, count: number): void {
    const failed = this.#kernels.run(at, count);
    if (failed !== 0) {
      throw new DeviceError({
        code: 'WORKER_FAILED',
        message: `Command ${failed - 1} of a list is unknown to these kernels.`,
        fix: 'Install the package again: its parts are of different versions.',
      });
    }
  }
}

/** Stored types as the file readers name them. */
function formatOf(dtype: StoredDType): FloatFormat {
  return ({ F32: 'f32', F16: 'f16', BF16: 'bf16' } as const)[dtype];
}
