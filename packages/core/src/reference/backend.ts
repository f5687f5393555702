/**
 * The Backend interface in float64, every op by its plain definition: what the other backends are measured against.
 * Nothing is shared with them but the program.
 */
import type { Backend, Executable, KvSnapshot, RunOptions, StoredWeight } from '../backend/index.ts';
import { throwIfAborted } from '../errors/index.ts';
import type { Command, KvCacheRef, Program, Storage, Tensor, WeightRef } from '../ops/index.ts';
import { execute } from './execute.ts';
import { createKvCache, type KvCache } from './kv_write.ts';
import { dense, type Matrix } from './matrix.ts';
import { readWeight, type ReferenceWeight } from './weights.ts';

export interface ReferenceOptions {
  /**
   * Whether x is rounded to int8 in front of q8 and q4 weights, as the kernels do. Within one op the codes are the same;
   * along a program an f32 and a float64 activation may straddle a half, which moves one code by one.
   */
  readonly activationRounding: boolean | ((linear: Extract<Command, { op: 'linear' }>) => boolean);
}

export interface ReferenceBackend extends Backend {
  /** Runs a program; all its storages by name (a repeated name gets `#2`, `#3`, ...), as they are at the end. */
  runExact(executable: Executable, options: RunOptions): Promise<Map<string, Float64Array>>;
}

interface ReferenceSnapshot extends KvSnapshot {
  readonly rows: Map<number, KvCache>;
}

/** A float64 backend; one thread, no limit on shapes, slow. */
export function createReference({ activationRounding: rounding }: ReferenceOptions): ReferenceBackend {
  const activationRounding = typeof rounding === 'function' ? rounding : () => rounding;
  const weights = new Map<string, ReferenceWeight>();
  const caches = new Map<number, KvCache>();
  const states = new Map<string, Float64Array>();
  const snapshots = new WeakSet<KvSnapshot>();

  const weight = (ref: WeightRef): ReferenceWeight => {
    const found = weights.get(ref.name);
    if (!found) throw new Error(`weight ${ref.name} is not loaded`);
    return found;
  };
  const cache = (layer: number): KvCache => {
    const found = caches.get(layer);
    if (!found) throw new Error(`layer ${layer} has no cache`);
    return found;
  };

  function execution(program: Program, run: RunOptions): Float64Array[] {
    const data = program.storages.map((storage) => backing(storage, states));
    for (const input of program.inputs) fill(program, input, data[input.storage], run.inputs);
    const tensor = (t: Tensor): Matrix => ({ ...t, data: data[t.storage] });
    for (const command of program.commands) {
      throwIfAborted(run.signal);
      execute(command, {
        tensor,
        weight,
        cache,
        pos: run.pos ?? 0,
        activationRounding,
      });
    }
    return data;
  }

  return {
    report: {
      name: 'reference',
      threads: 1,
      choices: [
        {
          what: 'arithmetic',
          chosen: 'float64',
          reason: 'the truth that other backends are measured against',
        },
      ],
    },
    async loadWeight(stored: StoredWeight, signal?: AbortSignal) {
      throwIfAborted(signal);
      weights.set(stored.ref.name, await readWeight(stored, signal));
    },
    async createCache(refs: readonly KvCacheRef[]) {
      if (caches.size > 0) throw new Error('the cache exists already');
      for (const ref of refs) caches.set(ref.layer, createKvCache(ref));
    },
    async compile(program: Program) {
      program.weights.forEach(weight);
      return { program, release: () => undefined };
    },
    async run(executable, run) {
      throwIfAborted(run.signal);
      const { program } = executable;
      const data = execution(program, run);
      return program.outputs.map((t) => Float32Array.from(dense({ ...t, data: data[t.storage] })));
    },
    async runExact({ program }, run) {
      throwIfAborted(run.signal);
      const data = execution(program, run);
      const names = storageNames(program);
      return new Map(data.map((values, i) => [names[i], values]));
    },
    async saveCache(tokens): Promise<ReferenceSnapshot> {
      const rows = new Map<number, KvCache>();
      for (const [layer, { ref, k, v }] of caches) {
        if (tokens > ref.context) throw new RangeError(`${tokens} tokens of ${ref.context}`);
        rows.set(layer, { ref, k: k.slice(), v: v.slice() });
      }
      const snapshot: ReferenceSnapshot = { tokens, rows, release: () => rows.clear() };
      snapshots.add(snapshot);
      return snapshot;
    },
    async restoreCache(snapshot) {
      if (!snapshots.has(snapshot)) throw new Error('a snapshot of another backend');
      for (const [layer, saved] of (snapshot as ReferenceSnapshot).rows)
        restore(saved, cache(layer), snapshot.tokens);
    },
    async memory() {
      const bytes = (arrays: Float64Array[]) => arrays.reduce((sum, a) => sum + a.byteLength, 0);
      const held = bytes([...weights.values()].map((w) => w.values.data));
      const kept = bytes([...caches.values()].flatMap((c) => [c.k, c.v]));
      return { weights: held, cache: kept, scratch: 0, total: held + kept };
    },
    async dispose() {
      weights.clear();
      caches.clear();
      states.clear();
    },
  };
}

/** One name a storage, in order: a repeated name gets `#2`, `#3`, ... */
export function storageNames(program: Program): string[] {
  const seen = new Map<string, number>();
  return program.storages.map(({ name }) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name}#${count}`;
  });
}

/** NaN until written, so that a read of an unwritten value shows; states start at zero and stay. */
function backing(storage: Storage, states: Map<string, Float64Array>): Float64Array {
  if (storage.kind !== 'state') return new Float64Array(storage.size).fill(NaN);
  const known = states.get(storage.name);
  if (known?.length === storage.size) return known;
  const fresh = new Float64Array(storage.size);
  states.set(storage.name, fresh);
  return fresh;
}

function fill(program: Program, input: Tensor, data: Float64Array, inputs: RunOptions['inputs']): void {
  const { name } = program.storages[input.storage];
  const values = inputs?.[name];
  if (values?.length !== input.rows * input.cols) {
    throw new RangeError(`input ${name}: ${values?.length} values for ${input.rows} x ${input.cols}`);
  }
  data.set(values, input.offset);
}

function restore(saved: KvCache, live: KvCache, tokens: number): void {
  const { kvHeads, context, headDim } = live.ref;
  for (let h = 0; h < kvHeads; h++) {
    const begin = h * context * headDim;
    const end = begin + tokens * headDim;
    live.k.set(saved.k.subarray(begin, end), begin);
    live.v.set(saved.v.subarray(begin, end), begin);
  }
}
