/**
 * Lowers a program to the kernel calls of one thread. Threads have private memories and run the same list, each on its
 * own rows of every weight and its own heads: a linear leaves a tensor *split* by columns, ops that work column by
 * column or head by head keep it split, and a `gather` is put in front of the first command that needs all of it.
 */
import type { WeightFormat } from '../../backend/index.ts';
import type { KvCacheRef, Program, WeightRef } from '../../ops/index.ts';
import type { BufferAddress, Step } from './commands.ts';
import { lower } from './lower.ts';
import { Lowering } from './lowering.ts';
import type { Slot } from './exchange.ts';
import type { KernelChoice } from './select/linear.ts';

/** A weight in a thread's memory: rows `[starts[rank], starts[rank + 1])` of a matrix, or all of a vector. */
export interface ResidentWeight {
  readonly at: number;
  readonly format: WeightFormat;
  readonly group: number;
  readonly starts: readonly number[];
}

export interface ResidentCache {
  readonly keys: number;
  readonly values: number;
  readonly context: number;
}

/** What lowering needs to know of a thread. */
export interface PlanContext {
  readonly rank: number;
  readonly threads: number;
  readonly choice: KernelChoice;
  /** Address of the u32 `pos`. */
  readonly pos: number;
  weight(ref: WeightRef): ResidentWeight;
  cache(ref: KvCacheRef): ResidentCache;
  /** Address of a state tensor of so many bytes. */
  state(name: string, bytes: number): number;
  /** Address of a table of u32 or f32 that stays. */
  constant(key: string, values: () => ArrayLike<number>, kind: 'u32' | 'f32'): number;
  actQ8Bytes(rows: number, k: number): number;
  attentionScratchBytes(rows: number, d: number): number;
}

/** A slot whose staging block has no address yet. */
export type PlannedSlot = Omit<Slot, 'stage'> & { readonly stage: BufferAddress };

export interface Plan {
  readonly steps: readonly Step[];
  /** For each command of the program, the index of its first step; one more at the end. */
  readonly firstStep: readonly number[];
  readonly slots: readonly PlannedSlot[];
  /** Offsets of buffers in scratch memory. */
  readonly offsets: readonly number[];
  readonly scratchBytes: number;
  /** By input and output index of the program. */
  readonly inputs: readonly BufferAddress[];
  readonly outputs: readonly BufferAddress[];
}

export function plan(program: Program, context: PlanContext): Plan {
  const lowering = new Lowering(program, context);
  for (const command of program.commands) {
    lowering.next();
    lower(lowering, command);
  }
  return lowering.finish();
}
