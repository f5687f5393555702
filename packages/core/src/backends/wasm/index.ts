/** The WASM backend: coordinates worker threads with private memories (see plan.ts for how work is divided). */
import type {
  Backend,
  BackendMemory,
  BackendReport,
  Choice,
  Executable,
  KvSnapshot,
  Reserved,
  RunOptions,
  StoredWeight,
  WeightRows,
} from '../../backend/index.ts';
import { ArgumentError, DeviceError, settleAll, throwIfAborted } from '../../errors/index.ts';
import type { Host } from '../../host.ts';
import type { KvCacheRef, Program } from '../../ops/index.ts';
import { chooseKernels, type Selection } from './choose.ts';
import { EXCHANGE_BYTES } from './exchange.ts';
import { megabytes } from './memory.ts';
import { contextThatFits, type Needs } from './needs.ts';
import { partition } from './partition.ts';
import type { Variant } from './protocol.ts';
import { slicesOf } from './slices.ts';
import { ThreadPool } from './threads.ts';

export type { Variant } from './protocol.ts';

export interface WasmOptions {
  /** Worker threads; by default the cores there are, one without shared memory. */
  threads?: number;
  /** Forces a build of the kernels; by default the fastest that passes its self-test. */
  variant?: Variant;
  /** For tests: NaN in all scratch memory before each run. */
  poison?: boolean;
  /**
   * The context that the programs ask for is what the caller wants: where it does not fit, more threads are taken, each with
   * memory of its own. By default a shorter context comes first.
   */
  keepContext?: boolean;
}

/** Where decode's time goes: one entry a command, gathers included in the command that waits for them. */
export interface CommandTime {
  readonly op: string;
  readonly ms: number;
}

type Inputs = (Float32Array | Uint32Array)[];

const MAX_THREADS = 16;
/** Bytes of a thread's rows that are read at a time; while they are repacked the next ones are read. */
const CHUNK_BYTES = 4 << 20;
/** Row blocks of packed weights: a chunk starts at a multiple. */
const ROW_BLOCK = 8;

/**
 * Starts the threads, tests and times the kernels, and takes the best.
 *
 * @throws {DeviceError} `SELF_TEST_FAILED` when no build of the kernels works here.
 */
export async function createWasm(host: Host, options: WasmOptions = {}): Promise<WasmBackend> {
  const { threads, reason } = chooseThreads(host, options.threads);
  const pool = new ThreadPool(host, threads);
  try {
    const selection = await chooseKernels(host, pool, options.variant);
    await initialise(host, pool, selection, options);
    return new WasmBackend(host, pool, selection, options, reason);
  } catch (error) {
    await pool.terminate();
    throw error;
  }
}

/** Gives every thread its rank and the chosen kernels. */
async function initialise(
  host: Host,
  pool: ThreadPool,
  { module, choice }: Selection,
  { poison = false }: WasmOptions,
): Promise<void> {
  const threads = pool.size;
  const exchange = threads > 1 ? new SharedArrayBuffer(EXCHANGE_BYTES) : null;
  const crowded = threads > host.hardwareConcurrency;
  await pool.all((rank) => ({ type: 'init', rank, threads, module, exchange, choice, crowded, poison }));
}

function chooseThreads(host: Host, asked: number | undefined): { threads: number; reason: string } {
  if (asked !== undefined && !(Number.isInteger(asked) && asked >= 1 && asked <= MAX_THREADS)) {
    throw new ArgumentError({
      code: 'OPTION_INVALID',
      message: `threads is ${asked}; it must be a whole number from 1 to ${MAX_THREADS}.`,
      fix: 'Leave threads out to use the cores there are.',
    });
  }
  if (!host.sharedMemory) {
    const reason =
      'memory cannot be shared between threads here (in a browser: the page is not cross-origin isolated)';
    return { threads: 1, reason };
  }
  if (asked !== undefined) return { threads: asked, reason: 'asked for' };
  const threads = Math.max(1, Math.min(MAX_THREADS, host.hardwareConcurrency));
  return { threads, reason: `${host.hardwareConcurrency} cores` };
}

interface Compiled extends Executable {
  readonly id: number;
  /** Views of the mailbox, one an output; `null` without shared memory. */
  readonly views: Float32Array[] | null;
  /** Command indices between which a run may be stopped. */
  readonly slices: readonly number[];
}

export class WasmBackend implements Backend {
  /** While one weight's last rows are repacked, the next ones are read. */
  readonly loadsAtOnce = 2;
  readonly #host: Host;
  readonly #selection: Selection;
  readonly #options: WasmOptions;
  #pool: ThreadPool;
  #threads: Choice;
  #context: Choice | null = null;
  #loaded = false;
  #nextId = 0;

  constructor(host: Host, pool: ThreadPool, selection: Selection, options: WasmOptions, reason: string) {
    this.#host = host;
    this.#pool = pool;
    this.#selection = selection;
    this.#options = options;
    this.#threads = { what: 'threads', chosen: String(pool.size), reason };
  }

  get report(): BackendReport {
    const choices = [this.#threads, ...(this.#context ? [this.#context] : []), ...this.#selection.choices];
    return { name: 'wasm', threads: this.#pool.size, choices };
  }

  /**
   * Sees to it that every thread's part fits its 4 GB: by a shorter context, else by more threads than there are cores.
   *
   * @throws {DeviceError} `OUT_OF_MEMORY`.
   */
  async reserve(
    weights: readonly StoredWeight[],
    programs: readonly Program[],
    leastContext = Infinity,
  ): Promise<Reserved> {
    const workload = { weights: weights.map(({ ref, format, group }) => ({ ref, format, group })), programs };
    const asked = Math.max(0, ...programs.flatMap(({ caches }) => caches.map(({ context }) => context)));
    const least = this.#options.keepContext ? asked : Math.min(asked, leastContext);
    const cores = Math.max(1, this.#host.hardwareConcurrency);
    let threads = this.#pool.size;
    for (;;) {
      const needs = (await this.#pool.one(0, { type: 'needs', workload, threads })) as Needs;
      const context = contextThatFits(needs, asked, least);
      if (context !== null) {
        if (threads > this.#pool.size) await this.#restart(threads, needs);
        if (context < asked) this.#context = shorter(context, asked, needs, threads);
        const cache = asked > 0 ? (needs.cache * context) / asked : 0;
        await this.#pool.all(() => ({ type: 'reserve', bytes: needs.weights + needs.scratch + cache }));
        return { context: context < asked ? context : null };
      }
      const more = Math.min(MAX_THREADS, (Math.floor(threads / cores) + 1) * cores);
      if (more <= threads || !this.#host.sharedMemory || this.#loaded) {
        throw tooLarge(needs, threads, this.#host.sharedMemory);
      }
      threads = more;
    }
  }

  /** Starts anew with more threads. */
  async #restart(threads: number, needs: Needs): Promise<void> {
    const before = this.#pool;
    this.#pool = new ThreadPool(this.#host, threads);
    await before.terminate();
    await initialise(this.#host, this.#pool, this.#selection, this.#options);
    const own = megabytes(needs.weights + needs.cache + needs.scratch);
    const reason = `a thread has at most 4 GB of memory: with ${before.size} the model does not fit, with ${threads} each has ${own} MB`;
    this.#threads = { what: 'threads', chosen: String(threads), reason };
  }

  async loadWeight(weight: StoredWeight, signal?: AbortSignal): Promise<void> {
    const { ref, format, dtype, group } = weight;
    this.#loaded = true;
    if (ref.kind === 'vector') {
      const { values } = await weight.readRows(0, ref.n, signal);
      await this.#pool.all(() => ({ type: 'weight', message: { ref, format, dtype, group } }));
      await this.#pool.all(() => ({ type: 'rows', rows: { name: ref.name, row: 0, rows: ref.n, values } }));
      await this.#pool.all(() => ({ type: 'weight-end', name: ref.name }));
      return;
    }
    const starts = partition(ref.n, ref.units, this.#pool.size);
    const loads = Array.from({ length: this.#pool.size }, (_, rank) =>
      this.#loadShard(weight, rank, starts[rank], starts[rank + 1], signal),
    );
    await settleAll(loads);
  }

  async createCache(caches: readonly KvCacheRef[]): Promise<void> {
    await this.#pool.all(() => ({ type: 'caches', caches }));
  }

  async compile(program: Program): Promise<Executable> {
    const id = this.#nextId++;
    const sizes = program.outputs.map((t) => t.rows * t.cols);
    const bytes = sizes.reduce((sum, size) => sum + size, 0) * 4;
    const mailbox = this.#host.sharedMemory ? new SharedArrayBuffer(bytes) : null;
    await this.#pool.all((rank) => ({ type: 'compile', id, program, mailbox: rank === 0 ? mailbox : null }));
    let at = 0;
    const views =
      mailbox && sizes.map((size) => new Float32Array(mailbox, (at += size * 4) - size * 4, size));
    const release = (): void => {
      // Frees memory when the threads get to it; a run that is under way goes first.
      void this.#pool.all(() => ({ type: 'release', id })).catch(() => undefined);
    };
    const executable: Compiled = { id, program, views, slices: slicesOf(program, this.#pool.size), release };
    return executable;
  }

  async run(executable: Executable, options: RunOptions): Promise<readonly Float32Array[]> {
    const { id, program, slices, views } = executable as Compiled;
    throwIfAborted(options.signal);
    const inputs = program.inputs.map((t) => {
      const { name, size } = program.storages[t.storage];
      const input = options.inputs?.[name];
      if (input?.length !== size) throw new Error(`input ${name} of ${program.name} wants ${size} values`);
      return input;
    });
    const pos = options.pos ?? 0;
    const joined = await (slices.length === 2
      ? this.#step(id, inputs, pos)
      : this.#sliced(executable, inputs, pos, options));
    if (views) return views;
    if (!joined) throw new Error(`${program.name} gave no outputs`);
    let at = 0;
    return program.outputs.map((t) => joined.subarray(at, (at += t.rows * t.cols)));
  }

  /** Everything in one message. */
  async #step(id: number, inputs: Inputs, pos: number): Promise<Float32Array | undefined> {
    const [collected] = await this.#pool.all(() => ({ type: 'step', id, inputs, pos }));
    return collected as Float32Array | undefined;
  }

  /** Slice by slice: between them an abort is heard. */
  async #sliced(
    executable: Executable,
    inputs: Inputs,
    pos: number,
    { signal }: RunOptions,
  ): Promise<Float32Array | undefined> {
    const { id, slices } = executable as Compiled;
    await this.#pool.all(() => ({ type: 'begin', id, inputs, pos }));
    for (let i = 0; i + 1 < slices.length; i++) {
      throwIfAborted(signal);
      await this.#pool.all(() => ({ type: 'run', id, from: slices[i], to: slices[i + 1] }));
    }
    return (await this.#pool.one(0, { type: 'collect', id })) as Float32Array | undefined;
  }

  /** Runs a program command by command, after a {@link run} with its inputs; milliseconds of each on thread 0. */
  async profile(executable: Executable): Promise<CommandTime[]> {
    const { id, program } = executable as Compiled;
    const [times] = (await this.#pool.all(() => ({ type: 'profile', id }))) as number[][];
    return program.commands.map((command, i) => ({ op: command.op, ms: times[i] }));
  }

  async saveCache(tokens: number): Promise<KvSnapshot> {
    const snapshot = this.#nextId++;
    await this.#pool.all(() => ({ type: 'save', snapshot, tokens }));
    const release = (): void => {
      void this.#pool.all(() => ({ type: 'drop', snapshot })).catch(() => undefined);
    };
    const saved: KvSnapshot & { id: number } = { tokens, id: snapshot, release };
    return saved;
  }

  async restoreCache(snapshot: KvSnapshot): Promise<void> {
    const { id, tokens } = snapshot as KvSnapshot & { id: number };
    await this.#pool.all(() => ({ type: 'restore', snapshot: id, tokens }));
  }

  async memory(): Promise<BackendMemory> {
    const parts = (await this.#pool.all(() => ({ type: 'usage' }))) as BackendMemory[];
    const sum = (key: keyof BackendMemory): number => parts.reduce((total, part) => total + part[key], 0);
    return { weights: sum('weights'), cache: sum('cache'), scratch: sum('scratch'), total: sum('total') };
  }

  async dispose(): Promise<void> {
    await this.#pool.terminate();
  }

  async #loadShard(weight: StoredWeight, rank: number, begin: number, end: number, signal?: AbortSignal) {
    const { ref, format, dtype, group } = weight;
    const quantised = format === 'q4' || format === 'q8';
    // f16 scales are kept as they are; others are brought into f16's range by one power of two for the tensor.
    const range =
      quantised && dtype !== 'F16' && end > begin ? await weight.readScales?.(begin, end, signal) : undefined;
    await this.#pool.one(rank, { type: 'weight', message: { ref, format, dtype, group, range } });
    const rowBytes = (ref.k * { q4: 4, q8: 8, f16: 16, f32: 32 }[format]) / 8;
    const step = Math.max(ROW_BLOCK, Math.floor(CHUNK_BYTES / rowBytes / ROW_BLOCK) * ROW_BLOCK);
    let sent: Promise<unknown> = Promise.resolve();
    for (let row = begin; row < end; row += step) {
      const rows = Math.min(step, end - row);
      const stored = await weight.readRows(row, row + rows, signal);
      // One chunk is repacked while the next is read.
      await sent;
      const message = { name: ref.name, row: row - begin, rows, ...stored };
      sent = this.#pool.one(rank, { type: 'rows', rows: message }, buffersOf(stored));
      // Its failure is thrown by the next await; while the next chunk is read nobody listens yet.
      sent.catch(() => undefined);
    }
    await sent;
    await this.#pool.one(rank, { type: 'weight-end', name: ref.name });
  }
}

/** The buffers that hold stored rows and nothing else: a thread can have them, where a copy costs as much as the reading. */
function buffersOf({ values, scales, biases }: WeightRows): ArrayBuffer[] {
  const buffers = [values, scales, biases].flatMap((bytes) =>
    bytes && bytes.buffer instanceof ArrayBuffer && bytes.length === bytes.buffer.byteLength
      ? [bytes.buffer]
      : [],
  );
  return [...new Set(buffers)];
}

function shorter(context: number, asked: number, needs: Needs, threads: number): Choice {
  const rest = `${megabytes(needs.weights + needs.scratch)} MB of weights and activations`;
  const reason =
    `${asked} tokens of keys and values, ${megabytes(needs.cache)} MB in each of ${threads} threads, do not fit 4 GB ` +
    `beside ${rest}; a context that is asked for is kept, with more threads`;
  return { what: 'context', chosen: `${context} tokens`, reason };
}

function tooLarge(needs: Needs, threads: number, shared: boolean): DeviceError {
  const parts = `${megabytes(needs.weights)} MB of weights, ${megabytes(needs.cache)} MB of keys and values`;
  return new DeviceError({
    code: 'OUT_OF_MEMORY',
    message: `The model does not fit: each of ${threads} thread${threads > 1 ? 's' : ''} would hold ${parts} and ${megabytes(needs.scratch)} MB of activations, and can have 4 GB.`,
    fix: shared
      ? 'Load it with a smaller context, or convert it to fewer bits.'
      : 'Make memory sharable, so that several threads can divide the model (in a browser: cross-origin isolation); or load a smaller model.',
  });
}
