/** Backends that lose their device when a test says so: real ones behind calls that can be counted and lost. */
import type {
  Backend,
  DecodeOptions,
  Executable,
  KvSnapshot,
  Warning,
} from '../../packages/core/src/backend/index.ts';
import type { BackendOptions, Device } from '../../packages/core/src/backends/index.ts';
import { createWasm } from '../../packages/core/src/backends/wasm/index.ts';
import { DeviceError, throwIfAborted } from '../../packages/core/src/errors/index.ts';
import type { Host } from '../../packages/core/src/host.ts';
import { createSampler } from '../../packages/core/src/pipeline/sampler.ts';
import { sameThread } from './same_thread.ts';

/** Steps that `decode` is ahead of the tokens it gives out. */
const AHEAD = 3;

/** What a lost device says; its message names the call, so that a test can tell the losses apart. */
export function lost(call: string): DeviceError {
  return new DeviceError({
    code: 'DEVICE_LOST',
    message: `The device was lost in ${call}.`,
    fix: 'Nothing: the model is loaded again.',
  });
}

type Call = <T>(name: string, work: () => Promise<T>) => Promise<T>;
type Start = (host: Host, options: BackendOptions) => Promise<Backend>;

/** The WASM backend, on this thread: it starts fast. */
const startWasm: Start = (host) =>
  createWasm({ ...host, spawnWorker: () => sameThread() }, { threads: 1, variant: 'simd' });

export class FragileDevices {
  readonly #start: Start;
  /** Whether backends that can't decode by themselves do so here. */
  decode = false;
  /** Names of all calls so far, `dispose` left out. */
  calls: string[] = [];
  /** The arguments of `createBackend`, one entry a start. */
  readonly starts: { device: Device; options: BackendOptions }[] = [];
  /** What the next start warns of. */
  warnings: readonly Warning[] = [];
  /** Asked at each call, with its name and its number from 1 on; 'before' or 'after' the call's work the device is lost. */
  loses: (call: string, number: number) => 'before' | 'after' | null = () => null;
  /** Called once a call has begun. */
  onCall: (call: string, number: number) => void = () => undefined;
  /** Backends that were not disposed of. */
  alive = 0;
  /** Snapshots, of backends that live, that were not released. */
  readonly snapshots = new Set<KvSnapshot>();
  /** Decodings that go on. */
  decoding = 0;
  /** What was asked of `decode`, and the tokens that were taken of it. */
  readonly decodings: { rows: number; pos: number; known: number[]; count: number; taken: number[] }[] = [];
  /** The newest backend loses its device now, with no call under way. */
  loseIdle: () => void = () => undefined;

  constructor(start: Start = startWasm) {
    this.#start = start;
  }

  /** In the place of core's own `createBackend`. */
  readonly create = async (host: Host, device: Device, options: BackendOptions) => {
    this.starts.push({ device, options });
    await this.#call('create');
    const inner = await this.#start(host, options);
    this.alive++;
    return { backend: this.#wrap(inner), refusals: [], warnings: this.warnings };
  };

  async #call<T>(name: string, work: () => Promise<T> = async () => undefined as T): Promise<T> {
    this.calls.push(name);
    const number = this.calls.length;
    this.onCall(name, number);
    const moment = this.loses(name, number);
    if (moment === 'before') throw lost(name);
    const result = await work();
    if (moment === 'after') throw lost(name);
    return result;
  }

  #wrap(inner: Backend): Backend {
    let gone: DeviceError | null = null;
    let disposed = false;
    const executables = new WeakSet<Executable>();
    const snapshots = new Set<KvSnapshot>();
    const call: Call = async (name, work) => {
      if (gone) throw gone;
      try {
        return await this.#call(name, work);
      } catch (error) {
        if (error instanceof DeviceError && error.code === 'DEVICE_LOST') gone = error;
        throw error;
      }
    };
    const own = (executable: Executable): Executable => {
      if (!executables.has(executable)) throw new Error("another device's program");
      return executable;
    };
    const run: Backend['run'] = (executable, options) =>
      call(`run ${own(executable).program.name}`, () => inner.run(executable, options));
    this.loseIdle = () => (gone = lost('idle'));

    const backend: Backend = {
      report: { name: `fragile ${this.starts.length}`, threads: 1, choices: [] },
      reserve: (weights, programs) =>
        call('reserve', async () => {
          const wanted = new Set(programs.flatMap((program) => program.weights.map((ref) => ref.name)));
          if (weights.length !== wanted.size) throw new Error(`${weights.length} of ${wanted.size} weights`);
          return (await inner.reserve?.(weights, programs)) ?? { context: null };
        }),
      loadWeight: (weight, signal) => call('loadWeight', () => inner.loadWeight(weight, signal)),
      createCache: (caches) => call('createCache', () => inner.createCache(caches)),
      compile: (program) =>
        call('compile', async () => {
          const executable = await inner.compile(program);
          executables.add(executable);
          return executable;
        }),
      run,
      saveCache: (tokens) =>
        call('saveCache', async () => {
          const saved = await inner.saveCache(tokens);
          const release = saved.release.bind(saved);
          saved.release = () => {
            snapshots.delete(saved);
            this.snapshots.delete(saved);
            release();
          };
          snapshots.add(saved);
          this.snapshots.add(saved);
          return saved;
        }),
      restoreCache: (snapshot) =>
        call('restoreCache', () => {
          if (!snapshots.has(snapshot)) throw new Error("another device's snapshot, or a released one");
          return inner.restoreCache(snapshot);
        }),
      memory: () => call('memory', () => inner.memory()),
      dispose: async () => {
        if (!disposed) this.alive--;
        disposed = true;
        for (const snapshot of snapshots) this.snapshots.delete(snapshot);
        await inner.dispose();
        if (gone) throw gone;
      },
    };
    if (inner.decode) return { ...backend, decode: (options) => this.#passOn(call, inner, options) };
    if (!this.decode) return backend;
    return { ...backend, decode: (options) => this.#decode(call, run, options) };
  }

  /** The backend's own decoding, which may be lost at every token. */
  async *#passOn(
    call: Call,
    inner: Backend,
    options: DecodeOptions,
  ): AsyncGenerator<number, void, undefined> {
    const tokens = inner.decode?.(options);
    if (!tokens) return;
    this.decoding++;
    try {
      for (;;) {
        const next = await call('decode', () => tokens.next());
        if (next.done) return;
        yield next.value;
      }
    } finally {
      this.decoding--;
      await tokens.return();
    }
  }

  /** `Backend.decode` by its description: some steps ahead of what is taken, and done when the loop is left. */
  async *#decode(
    call: Call,
    run: Backend['run'],
    options: DecodeOptions,
  ): AsyncGenerator<number, void, undefined> {
    const { prompt, ids, pos, step, known, count, sampling, signal } = options;
    const draw = (): number => options.draw();
    this.decoding++;
    const taken: number[] = [];
    this.decodings.push({ rows: ids.length, pos, known: [...known], count, taken });
    try {
      let [logits] = await run(prompt, { inputs: { ids }, pos, signal });
      const sampler = createSampler(sampling, logits.length, draw);
      const history: number[] = [];
      const ring: number[] = [];
      for (;;) {
        while (ring.length < AHEAD && history.length < count) {
          throwIfAborted(signal);
          const at = history.length;
          if (at > 0) {
            const inputs = { ids: Uint32Array.of(history[at - 1]) };
            [logits] = await run(step, { inputs, pos: pos + ids.length + at - 1, signal });
          }
          if (at < known.length) {
            if (sampling.temperature !== 0) draw();
            history.push(known[at]);
          } else {
            const { id } = sampler.sample(logits, history);
            history.push(id);
            ring.push(id);
          }
        }
        const next = ring.shift();
        if (next === undefined) return;
        taken.push(next);
        yield next;
      }
    } finally {
      this.decoding--;
      // Leaving the loop waits for the steps that are under way, and these may be lost as any.
      await call('end of decode', () => Promise.resolve());
    }
  }
}
