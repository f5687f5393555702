import type { Program, Tensor } from '../../ops/index.ts';
import type { Argument, BufferAddress, KernelName, Step, StepArgs } from './commands.ts';
import { REGION_BYTES, type Slot } from './exchange.ts';
import { partition, samePartition } from './partition.ts';
import type { Plan, PlanContext, PlannedSlot } from './plan.ts';
import { layOut, type Buffer } from './scratch.ts';

interface Split {
  readonly t: Tensor;
  readonly starts: readonly number[];
}

const BYTES = 4;

/**
 * What is known while a program is lowered: the steps so far, the buffers they use, and which tensors are split between
 * threads at this point. The commands themselves are in lower.ts.
 */
export class Lowering {
  readonly #program: Program;
  readonly context: PlanContext;
  readonly #steps: Step[] = [];
  readonly #firstStep: number[] = [];
  readonly #slots: PlannedSlot[] = [];
  readonly #buffers: Buffer[] = [];
  /** Storage to buffer, or to a fixed address for state. */
  readonly #placed = new Map<number, { buffer: number } | { at: number }>();
  /** Split tensors not gathered yet, by storage. */
  readonly #split = new Map<number, Split[]>();
  /** int8 copies of tensors that did not change since, by storage and view. */
  readonly #quantised = new Map<number, Map<string, BufferAddress>>();

  constructor(program: Program, context: PlanContext) {
    this.#program = program;
    this.context = context;
    program.storages.forEach((storage, i) => {
      const bytes = storage.size * BYTES;
      if (storage.kind === 'state') this.#placed.set(i, { at: context.state(storage.name, bytes) });
    });
    // Inputs are written before the first step, and outputs read after the last one.
    for (const t of program.inputs) this.#buffers[this.#bufferOf(t.storage)].first = -1;
    for (const t of program.outputs) this.#buffers[this.#bufferOf(t.storage)].last = Infinity;
  }

  /** What follows belongs to the program's next command. */
  next(): void {
    this.#firstStep.push(this.#steps.length);
  }

  finish(): Plan {
    for (const t of this.#program.outputs) this.whole(t);
    for (const [storage] of this.#split) {
      if (this.#program.storages[storage].kind === 'state') this.#gatherAll(storage);
    }
    this.next();
    const { offsets, bytes } = layOut(this.#buffers);
    const address = (t: Tensor): BufferAddress => ({
      buffer: this.#bufferOf(t.storage),
      offset: t.offset * BYTES,
    });
    return {
      steps: this.#steps,
      firstStep: this.#firstStep,
      slots: this.#slots,
      offsets,
      scratchBytes: bytes,
      inputs: this.#program.inputs.map(address),
      outputs: this.#program.outputs.map(address),
    };
  }

  // Splits and gathers

  /** This thread's columns. */
  own(starts: readonly number[]): { begin: number; width: number } {
    const { rank } = this.context;
    return { begin: starts[rank], width: starts[rank + 1] - starts[rank] };
  }

  /** This thread's heads, and every thread's columns. */
  heads(heads: number, d: number): { heads: number; starts: readonly number[] } {
    const starts = partition(heads * d, heads, this.context.threads);
    return { heads: this.own(starts).width / d, starts };
  }

  markSplit(t: Tensor, starts: readonly number[]): void {
    if (this.context.threads === 1) return;
    const list = this.#split.get(t.storage) ?? [];
    list.push({ t, starts });
    this.#split.set(t.storage, list);
  }

  findSplit(t: Tensor): Split | undefined {
    return this.#split.get(t.storage)?.find((split) => sameView(split.t, t));
  }

  /** Makes `t` whole in every thread; `y`, if given, is about to be written whole. */
  whole(t: Tensor, y?: Tensor): void {
    for (const split of this.#overlapping(t)) this.#gather(split);
    if (y) this.written(y);
  }

  /** Makes `t` whole unless every thread has just the columns `starts` of it. */
  wholeUnless(t: Tensor, starts: readonly number[]): void {
    const split = this.findSplit(t);
    if (split && samePartition(split.starts, starts) && this.#overlapping(t).length === 1) return;
    this.whole(t);
  }

  #overlapping(t: Tensor): Split[] {
    return (this.#split.get(t.storage) ?? []).filter((split) => overlap(split.t, t));
  }

  #gatherAll(storage: number): void {
    for (const split of [...(this.#split.get(storage) ?? [])]) this.#gather(split);
  }

  /** `t` gets new values: what was known of its columns or its int8 copy holds no more. */
  written(t: Tensor): void {
    this.#quantised.delete(t.storage);
    this.beforeWrite(t);
    const rest = (this.#split.get(t.storage) ?? []).filter((split) => !sameView(split.t, t));
    this.#split.set(t.storage, rest);
  }

  /** The values of `t` are others now, in the columns that each thread has: its int8 copy holds no more. */
  changed(t: Tensor): void {
    this.#quantised.delete(t.storage);
  }

  /** Gathers what else is split where `t` is about to be written: later it would overwrite the new columns. */
  beforeWrite(t: Tensor): void {
    const list = this.#split.get(t.storage) ?? [];
    for (const split of list.filter((s) => overlap(s.t, t) && !sameView(s.t, t))) this.#gather(split);
  }

  #gather(split: Split): void {
    const list = this.#split.get(split.t.storage) ?? [];
    this.#split.set(
      split.t.storage,
      list.filter((s) => s !== split),
    );
    const { t, starts } = split;
    const { rank, threads } = this.context;
    const table = this.context.constant(`starts ${starts.join(' ')}`, () => starts, 'u32');
    const { begin, width } = this.own(starts);
    for (const [row, rows] of pieces(t.rows, t.cols * BYTES)) {
      const slot = {
        ownOffset: rows * begin * BYTES,
        ownBytes: rows * width * BYTES,
        totalBytes: rows * t.cols * BYTES,
      };
      this.#exchange('gather', slot, {
        buf: this.at(t, row * t.ld),
        ld: t.ld,
        rows,
        rank,
        size: threads,
        starts: table,
      });
    }
  }

  /** Each row of `t` is in the thread that owns its id. */
  gatherRows(t: Tensor, ids: Tensor, starts: readonly number[]): void {
    const { rank, threads } = this.context;
    if (threads === 1) return;
    const table = this.context.constant(`starts ${starts.join(' ')}`, () => starts, 'u32');
    for (const [row, rows] of pieces(t.rows, threads * t.cols * BYTES)) {
      const block = rows * t.cols * BYTES;
      const slot = { ownOffset: rank * block, ownBytes: block, totalBytes: threads * block };
      this.#exchange('gather_rows', slot, {
        buf: this.at(t, row * t.ld),
        ld: t.ld,
        rows,
        cols: t.cols,
        rank,
        size: threads,
        ids: this.at(ids, row),
        starts: table,
      });
    }
  }

  #exchange<K extends 'gather' | 'gather_rows'>(
    kernel: K,
    slot: Omit<Slot, 'stage'>,
    args: Omit<StepArgs<K>, 'stage' | 'slot'>,
  ): void {
    const stage = this.temporary(slot.totalBytes);
    this.#slots.push({ ...slot, stage });
    this.push({ kernel, args: { ...args, stage, slot: this.#slots.length - 1 } });
  }

  /** The int8 copy of `x`, made once for all linears that read it. */
  quantise(x: Tensor): BufferAddress {
    const key = `${x.offset} ${x.rows} ${x.cols} ${x.ld}`;
    const known = this.#quantised.get(x.storage)?.get(key);
    if (known) return known;
    const q = this.temporary(this.context.actQ8Bytes(x.rows, x.cols));
    this.step('quantize_q8', { q, ...this.view('x', x), rows: x.rows, k: x.cols });
    const copies = this.#quantised.get(x.storage) ?? new Map<string, BufferAddress>();
    copies.set(key, q);
    this.#quantised.set(x.storage, copies);
    return q;
  }

  // Buffers and steps

  #bufferOf(storage: number): number {
    const known = this.#placed.get(storage);
    if (known && 'buffer' in known) return known.buffer;
    this.#buffers.push({ bytes: this.#program.storages[storage].size * BYTES, first: Infinity, last: -1 });
    this.#placed.set(storage, { buffer: this.#buffers.length - 1 });
    return this.#buffers.length - 1;
  }

  temporary(bytes: number): BufferAddress {
    this.#buffers.push({ bytes, first: Infinity, last: -1 });
    return { buffer: this.#buffers.length - 1, offset: 0 };
  }

  /** The address of element `plus` of `t`. */
  at(t: Tensor, plus = 0): Argument {
    const offset = (t.offset + plus) * BYTES;
    const placed = this.#placed.get(t.storage);
    if (placed && 'at' in placed) return placed.at + offset;
    return { buffer: this.#bufferOf(t.storage), offset };
  }

  /** The address of a tensor whose kernel takes no stride. */
  dense(t: Tensor): Argument {
    if (t.ld !== t.cols)
      throw new Error(`a kernel wants rows without gaps: ${t.cols} columns, stride ${t.ld}`);
    return this.at(t);
  }

  view<N extends string>(name: N, t: Tensor, plus = 0): Record<N | `ld${N}`, Argument> {
    return { [name]: this.at(t, plus), [`ld${name}`]: t.ld } as Record<N | `ld${N}`, Argument>;
  }

  step<K extends KernelName>(kernel: K, args: StepArgs<K>): void {
    this.push({ kernel, args });
  }

  push(step: Step): void {
    const index = this.#steps.length;
    for (const value of Object.values(step.args)) {
      if (typeof value === 'number') continue;
      const buffer = this.#buffers[value.buffer];
      buffer.first = Math.min(buffer.first, index);
      buffer.last = Math.max(buffer.last, index);
    }
    this.#steps.push(step);
  }
}

function sameView(a: Tensor, b: Tensor): boolean {
  return a.offset === b.offset && a.rows === b.rows && a.cols === b.cols && a.ld === b.ld;
}

/** Whether two views of one storage can share an element; column slices of the same rows do not. */
function overlap(a: Tensor, b: Tensor): boolean {
  const end = (t: Tensor) => t.offset + (t.rows - 1) * t.ld + t.cols;
  if (a.offset >= end(b) || b.offset >= end(a)) return false;
  if (a.ld !== b.ld) return true;
  const column = (t: Tensor) => t.offset % t.ld;
  return column(a) < column(b) + b.cols && column(b) < column(a) + a.cols;
}

/** Row pieces `[first, count]` that fit one exchange region. */
function* pieces(rows: number, rowBytes: number): Generator<[number, number]> {
  const most = Math.max(1, Math.floor(REGION_BYTES / rowBytes));
  for (let row = 0; row < rows; row += most) yield [row, Math.min(most, rows - row)];
}
