/** What a thread will hold, worked out from the programs before a byte of the weights is read. */
import type { WeightFormat } from '../../backend/index.ts';
import type { KvCacheRef, Program, WeightRef } from '../../ops/index.ts';
import { align } from './allocator.ts';
import { FORMAT_CODE } from './commands.ts';
import { MAX_BYTES } from './memory.ts';
import { partition } from './partition.ts';
import { plan, type PlanContext } from './plan.ts';
import type { KernelChoice } from './select/linear.ts';

/** The kernels' own arithmetic of sizes. */
export interface Sizes {
  act_q8_bytes(rows: number, k: number): number;
  packed_bytes(format: number, n: number, k: number, group: number): number;
  attention_scratch_bytes(rows: number, d: number): number;
  kv_cache_bytes(kvHeads: number, d: number, context: number): number;
}

/** What is to be loaded and run, as far as sizes go. */
export interface Workload {
  readonly weights: readonly {
    readonly ref: WeightRef;
    readonly format: WeightFormat;
    readonly group: number;
  }[];
  readonly programs: readonly Program[];
}

/** Bytes of one thread: of the one that has most. */
export interface Needs {
  readonly weights: number;
  /** The KV cache, for the contexts that the programs ask for. */
  readonly cache: number;
  /** The largest program's tensors, and what is kept between programs. */
  readonly scratch: number;
}

/** A thread's part of a weight: rows `[starts[rank], starts[rank + 1])` of a matrix, all of a vector. */
export function weightPart(
  { ref, format, group }: Workload['weights'][number],
  rank: number,
  threads: number,
  sizes: Sizes,
): { starts: number[]; rows: number; bytes: number } {
  if (ref.kind === 'vector') return { starts: [], rows: 0, bytes: ref.n * 4 };
  const starts = partition(ref.n, ref.units, threads);
  const rows = starts[rank + 1] - starts[rank];
  return { starts, rows, bytes: sizes.packed_bytes(FORMAT_CODE[format], rows, ref.k, group) };
}

/** A thread's heads, and the bytes of their keys, which are those of their values. */
export function cachePart(
  { kvHeads, headDim, context }: KvCacheRef,
  rank: number,
  threads: number,
  sizes: Sizes,
): { heads: number; bytes: number } {
  const starts = partition(kvHeads, kvHeads, threads);
  const heads = starts[rank + 1] - starts[rank];
  return { heads, bytes: sizes.kv_cache_bytes(heads, headDim, context) };
}

export function needsOf(workload: Workload, threads: number, sizes: Sizes, choice: KernelChoice): Needs {
  const caches = new Map(workload.programs.flatMap((program) => program.caches.map((c) => [c.layer, c])));
  const most = (bytes: (rank: number) => number): number =>
    Math.max(...Array.from({ length: threads }, (_, rank) => bytes(rank)));
  const weights = most((rank) =>
    sum(workload.weights, (weight) => align(weightPart(weight, rank, threads, sizes).bytes)),
  );
  const cache = most((rank) =>
    sum([...caches.values()], (ref) => 2 * align(cachePart(ref, rank, threads, sizes).bytes)),
  );
  return { weights, cache, scratch: scratchBytes(workload, threads, sizes, choice) };
}

/** Threads hold whole activations, so that one of them stands for all. */
function scratchBytes(
  { weights, programs }: Workload,
  threads: number,
  sizes: Sizes,
  choice: KernelChoice,
): number {
  const stored = new Map(weights.map((weight) => [weight.ref.name, weight]));
  const rank = threads - 1;
  const states = new Map<string, number>();
  const context: PlanContext = {
    rank,
    threads,
    choice,
    pos: 0,
    weight: (ref) => {
      const weight = stored.get(ref.name);
      if (!weight) throw new Error(`${ref.name} is in a program, but not among the weights`);
      const { starts } = weightPart(weight, rank, threads, sizes);
      return { at: 0, format: weight.format, group: weight.group, starts };
    },
    cache: (ref) => ({ keys: 0, values: 0, context: ref.context }),
    state: (name, bytes) => {
      states.set(name, align(bytes));
      return 0;
    },
    constant: () => 0,
    actQ8Bytes: (rows, k) => sizes.act_q8_bytes(rows, k),
    attentionScratchBytes: (rows, d) => sizes.attention_scratch_bytes(rows, d),
  };
  const largest = Math.max(0, ...programs.map((program) => plan(program, context).scratchBytes));
  return largest + sum([...states.values()], (bytes) => bytes);
}

/** Stored rows on their way into the packed layout, recorded lists and tables, and programs of other lengths. */
const MARGIN = 128 << 20;
/** A context is cut to a multiple of this. */
const STEP = 256;

/** The context, at most `asked` and at least `least`, that fits a thread's 4 GB beside everything else; `null`: none. */
export function contextThatFits(needs: Needs, asked: number, least: number): number | null {
  const room = MAX_BYTES - MARGIN - needs.weights - needs.scratch;
  if (needs.cache <= room) return asked;
  const fits = Math.floor((room / needs.cache) * (asked / STEP)) * STEP;
  return fits < least ? null : fits;
}

function sum<T>(list: readonly T[], bytes: (item: T) => number): number {
  return list.reduce((total, item) => total + bytes(item), 0);
}
