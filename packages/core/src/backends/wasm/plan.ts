/**
 * Lowers a program to the kernel calls of one thread. Threads have private memories and run the same list, each on its
 * own rows of every weight and its own heads: a linear leaves a tensor *split* by columns, ops that work column by
 * column or head by head keep it split, and a `gather` is put in front of the first command that needs all of it.
 */
import type { WeightFormat } from '../../backend/index.ts';
import type { Command, KvCacheRef, Program, Tensor, WeightRef } from '../../ops/index.ts';
import { ALIGN, align, Allocator } from './allocator.ts';
import {
  ACTIVATION_CODE,
  FORMAT_CODE,
  type Argument,
  type BufferAddress,
  type KernelName,
  type Step,
  type StepArgs,
} from './commands.ts';
import { REGION_BYTES, type Slot } from './exchange.ts';
import { partition, samePartition } from './partition.ts';
import { selectLinear, type KernelChoice } from './select/linear.ts';

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

export interface Plan {
  readonly steps: readonly Step[];
  /** For each command of the program, the index of its first step; one more at the end. */
  readonly firstStep: readonly number[];
  readonly slots: readonly {
    stage: BufferAddress;
    ownOffset: number;
    ownBytes: number;
    totalBytes: number;
  }[];
  /** Offsets of buffers in scratch memory. */
  readonly offsets: readonly number[];
  readonly scratchBytes: number;
  /** By input and output index of the program. */
  readonly inputs: readonly BufferAddress[];
  readonly outputs: readonly BufferAddress[];
}

interface Buffer {
  readonly bytes: number;
  first: number;
  last: number;
}

interface Split {
  readonly t: Tensor;
  readonly starts: readonly number[];
}

const BYTES = 4;

export function plan(program: Program, context: PlanContext): Plan {
  const lowering = new Lowering(program, context);
  program.commands.forEach((command) => lowering.command(command));
  return lowering.finish();
}

class Lowering {
  readonly #program: Program;
  readonly #context: PlanContext;
  readonly #steps: Step[] = [];
  readonly #firstStep: number[] = [];
  readonly #slots: { stage: BufferAddress; ownOffset: number; ownBytes: number; totalBytes: number }[] = [];
  readonly #buffers: Buffer[] = [];
  /** Storage to buffer, or to a fixed address for state. */
  readonly #placed = new Map<number, { buffer: number } | { at: number }>();
  /** Split tensors not gathered yet, by storage. */
  readonly #split = new Map<number, Split[]>();
  /** int8 copies of tensors that did not change since, by storage and view. */
  readonly #quantised = new Map<number, Map<string, BufferAddress>>();

  constructor(program: Program, context: PlanContext) {
    this.#program = program;
    this.#context = context;
    program.storages.forEach((storage, i) => {
      const bytes = storage.size * BYTES;
      if (storage.kind === 'state') this.#placed.set(i, { at: context.state(storage.name, bytes) });
    });
    // Inputs are written before the first step, and outputs read after the last one.
    for (const t of program.inputs) this.#buffers[this.#bufferOf(t.storage)].first = -1;
    for (const t of program.outputs) this.#buffers[this.#bufferOf(t.storage)].last = Infinity;
  }

  command(command: Command): void {
    this.#firstStep.push(this.#steps.length);
    switch (command.op) {
      case 'linear':
        return this.#linear(command);
      case 'layer_norm':
      case 'rms_norm':
        return this.#norm(command);
      case 'embed':
        return this.#embed(command);
      case 'rotary':
        return this.#rotary(command);
      case 'kv_write':
        return this.#kvWrite(command);
      case 'attention_cached':
        return this.#attentionCached(command);
      case 'attention':
        return this.#attention(command);
      case 'cross_attention':
        return this.#crossAttention(command);
      case 'activation':
      case 'swiglu':
        return this.#elementwise(command);
      case 'copy': {
        const { x, y } = command;
        this.#whole(x, y);
        this.#step('copy', { ...this.#view('y', y), ...this.#view('x', x), rows: x.rows, cols: x.cols });
        return;
      }
      case 'patchify': {
        const { pixels, y, channels, grid, patch } = command;
        this.#whole(pixels, y);
        const args = {
          y: this.#dense(y),
          pixels: this.#dense(pixels),
          channels,
          grid_h: grid,
          grid_w: grid,
          patch,
        };
        this.#step('patchify', args);
        return;
      }
      case 'assemble_cls': {
        const { patches, cls, pos, y } = command;
        this.#whole(patches, y);
        const tables = { cls: this.#context.weight(cls).at, pos: this.#context.weight(pos).at };
        const args = {
          y: this.#dense(y),
          patches: this.#dense(patches),
          p: patches.rows,
          c: patches.cols,
          ...tables,
        };
        this.#step('assemble_cls', args);
        return;
      }
      case 'crop':
      case 'pool': {
        const { x, y, grid, kernel } = command;
        this.#whole(x, y);
        this.#step(command.op, { y: this.#dense(y), ...this.#view('x', x), grid, k: kernel, c: x.cols });
        return;
      }
      case 'unfold': {
        const { x, y, grid, kernel, stride } = command;
        this.#whole(x, y);
        this.#step('unfold', {
          y: this.#dense(y),
          ...this.#view('x', x),
          grid,
          k: kernel,
          stride,
          c: x.cols,
        });
        return;
      }
      default:
        command satisfies never;
    }
  }

  finish(): Plan {
    for (const t of this.#program.outputs) this.#whole(t);
    for (const [storage] of this.#split) {
      if (this.#program.storages[storage].kind === 'state') this.#gatherAll(storage);
    }
    this.#firstStep.push(this.#steps.length);
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

  #linear({ x, w, bias, residual, act, y }: Extract<Command, { op: 'linear' }>): void {
    const weight = this.#context.weight(w);
    const { starts, format, group } = weight;
    this.#whole(x);
    if (residual) this.#wholeUnless(residual, starts);
    this.#beforeWrite(y);
    const { begin, width } = this.#own(starts);
    if (width > 0) {
      const quantised = format === 'q4' || format === 'q8';
      const kernel = selectLinear(format, x.rows, this.#context.choice);
      const biasAt = bias ? this.#context.weight(bias).at + begin * BYTES : 0;
      const common = {
        y: this.#at(y, begin),
        ldy: y.ld,
        w: weight.at,
        bias: biasAt,
        res: residual ? this.#at(residual, begin) : 0,
        ldres: residual?.ld ?? 0,
        rows: x.rows,
        n: width,
        k: w.k,
        act: ACTIVATION_CODE[act],
      };
      const input = quantised ? { q: this.#quantise(x), group } : this.#view('x', x);
      this.#push({ kernel, args: { ...common, ...input } });
    }
    this.#written(y);
    this.#markSplit(y, starts);
  }

  #norm(command: Extract<Command, { op: 'layer_norm' | 'rms_norm' }>): void {
    const { x, w, y, eps } = command;
    this.#whole(x, y);
    const common = {
      ...this.#view('y', y),
      ...this.#view('x', x),
      w: this.#context.weight(w).at,
      rows: x.rows,
      cols: x.cols,
      eps,
    };
    if (command.op === 'layer_norm')
      this.#step('layer_norm', { ...common, b: this.#context.weight(command.b).at });
    else this.#step('rms_norm', common);
  }

  #embed({ ids, w, y }: Extract<Command, { op: 'embed' }>): void {
    const { at, format, group, starts } = this.#context.weight(w);
    this.#whole(ids, y);
    const { begin, width } = this.#own(starts);
    if (width > 0) {
      this.#step('embed', {
        ...this.#view('y', y),
        ids: this.#at(ids),
        w: at,
        format: FORMAT_CODE[format],
        rows: ids.rows,
        n: width,
        k: w.k,
        group,
        row0: begin,
      });
    }
    this.#gatherRows(y, ids, starts);
  }

  #rotary({ x, heads, headDim, theta }: Extract<Command, { op: 'rotary' }>): void {
    const split = this.#findSplit(x);
    const aligned = split?.starts.every((start) => start % headDim === 0);
    if (!aligned) this.#whole(x);
    const { begin, width } =
      aligned && split ? this.#own(split.starts) : { begin: 0, width: heads * headDim };
    if (width > 0) {
      this.#step('rotary', {
        ...this.#view('x', x, begin),
        rows: x.rows,
        heads: width / headDim,
        d: headDim,
        inv_freq: this.#context.constant(
          `rotary ${headDim} ${theta}`,
          () => inverseFrequencies(headDim, theta),
          'f32',
        ),
        pos: this.#context.pos,
      });
    }
    this.#quantised.delete(x.storage);
  }

  #kvWrite({ k, v, cache }: Extract<Command, { op: 'kv_write' }>): void {
    const { heads, starts } = this.#heads(cache.kvHeads, cache.headDim);
    this.#wholeUnless(k, starts);
    this.#wholeUnless(v, starts);
    const { begin } = this.#own(starts);
    const resident = this.#context.cache(cache);
    if (heads === 0) return;
    this.#step('kv_write', {
      cache_k: resident.keys,
      cache_v: resident.values,
      ...this.#view('k', k, begin),
      ...this.#view('v', v, begin),
      rows: k.rows,
      kv_heads: heads,
      d: cache.headDim,
      ctx: resident.context,
      pos: this.#context.pos,
    });
  }

  #attentionCached({ q, cache, heads, y }: Extract<Command, { op: 'attention_cached' }>): void {
    const { kvHeads, headDim } = cache;
    const perKv = heads / kvHeads;
    const kv = this.#heads(kvHeads, headDim);
    const starts = kv.starts.map((start) => start * perKv);
    this.#wholeUnless(q, starts);
    this.#beforeWrite(y);
    const { begin, width } = this.#own(starts);
    if (width > 0) {
      const resident = this.#context.cache(cache);
      this.#step('attention_cached', {
        ...this.#view('y', y, begin),
        ...this.#view('q', q, begin),
        cache_k: resident.keys,
        cache_v: resident.values,
        rows: q.rows,
        heads: width / headDim,
        kv_heads: kv.heads,
        d: headDim,
        ctx: resident.context,
        pos: this.#context.pos,
        scale: 1 / Math.sqrt(headDim),
        scratch: this.#temporary(this.#context.attentionScratchBytes(q.rows, headDim)),
      });
    }
    this.#written(y);
    this.#markSplit(y, starts);
  }

  #attention({ q, k, v, heads, y }: Extract<Command, { op: 'attention' }>): void {
    const d = q.cols / heads;
    const { starts, heads: own } = this.#heads(heads, d);
    for (const t of [q, k, v]) this.#wholeUnless(t, starts);
    this.#beforeWrite(y);
    const { begin } = this.#own(starts);
    if (own > 0) {
      this.#step('attention', {
        ...this.#view('y', y, begin),
        ...this.#view('q', q, begin),
        ...this.#view('k', k, begin),
        ...this.#view('v', v, begin),
        rows: q.rows,
        heads: own,
        d,
        scale: 1 / Math.sqrt(d),
        scratch: this.#temporary(this.#context.attentionScratchBytes(q.rows, d)),
      });
    }
    this.#written(y);
    this.#markSplit(y, starts);
  }

  #crossAttention({ q, k, v, map, y }: Extract<Command, { op: 'cross_attention' }>): void {
    for (const t of [q, k, v]) this.#whole(t);
    this.#written(y);
    this.#written(map);
    this.#step('cross_attention', {
      ...this.#view('y', y),
      map: this.#dense(map),
      q: this.#dense(q),
      k: this.#dense(k),
      v: this.#dense(v),
      nq: q.rows,
      nk: k.rows,
      d: q.cols,
      scale: 1 / Math.sqrt(q.cols),
    });
  }

  #elementwise(command: Extract<Command, { op: 'activation' | 'swiglu' }>): void {
    const inputs = command.op === 'activation' ? [command.x] : [command.gate, command.up];
    const { y } = command;
    const splits = inputs.map((t) => this.#findSplit(t));
    const starts = splits.find((split) => split)?.starts ?? null;
    if (starts) inputs.forEach((t) => this.#wholeUnless(t, starts));
    else inputs.forEach((t) => this.#whole(t));
    this.#beforeWrite(y);
    const { begin, width } = starts ? this.#own(starts) : { begin: 0, width: y.cols };
    if (width > 0) {
      const common = { ...this.#view('y', y, begin), rows: y.rows, cols: width };
      if (command.op === 'activation') {
        const act = ACTIVATION_CODE[command.act];
        this.#step('activation', { ...common, ...this.#view('x', command.x, begin), act });
      } else {
        this.#step('swiglu', {
          ...common,
          gate: this.#at(command.gate, begin),
          ldg: command.gate.ld,
          up: this.#at(command.up, begin),
          ldu: command.up.ld,
        });
      }
    }
    this.#written(y);
    if (starts) this.#markSplit(y, starts);
  }

  // Splits and gathers

  /** This thread's columns. */
  #own(starts: readonly number[]): { begin: number; width: number } {
    const { rank } = this.#context;
    return { begin: starts[rank], width: starts[rank + 1] - starts[rank] };
  }

  /** This thread's heads, and every thread's columns. */
  #heads(heads: number, d: number): { heads: number; starts: readonly number[] } {
    const starts = partition(heads * d, heads, this.#context.threads);
    return { heads: this.#own(starts).width / d, starts };
  }

  #markSplit(t: Tensor, starts: readonly number[]): void {
    if (this.#context.threads === 1) return;
    const list = this.#split.get(t.storage) ?? [];
    list.push({ t, starts });
    this.#split.set(t.storage, list);
  }

  #findSplit(t: Tensor): Split | undefined {
    return this.#split.get(t.storage)?.find((split) => sameView(split.t, t));
  }

  /** Makes `t` whole in every thread; `y`, if given, is about to be written whole. */
  #whole(t: Tensor, y?: Tensor): void {
    for (const split of this.#overlapping(t)) this.#gather(split);
    if (y) this.#written(y);
  }

  /** Makes `t` whole unless every thread has just the columns `starts` of it. */
  #wholeUnless(t: Tensor, starts: readonly number[]): void {
    const split = this.#findSplit(t);
    if (split && samePartition(split.starts, starts) && this.#overlapping(t).length === 1) return;
    this.#whole(t);
  }

  #overlapping(t: Tensor): Split[] {
    return (this.#split.get(t.storage) ?? []).filter((split) => overlap(split.t, t));
  }

  #gatherAll(storage: number): void {
    for (const split of [...(this.#split.get(storage) ?? [])]) this.#gather(split);
  }

  /** `t` gets new values: what was known of its columns or its int8 copy holds no more. */
  #written(t: Tensor): void {
    this.#quantised.delete(t.storage);
    this.#beforeWrite(t);
    const rest = (this.#split.get(t.storage) ?? []).filter((split) => !sameView(split.t, t));
    this.#split.set(t.storage, rest);
  }

  /** Gathers what else is split where `t` is about to be written: later it would overwrite the new columns. */
  #beforeWrite(t: Tensor): void {
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
    const { rank, threads } = this.#context;
    const table = this.#context.constant(`starts ${starts.join(' ')}`, () => starts, 'u32');
    const { begin, width } = this.#own(starts);
    for (const [row, rows] of pieces(t.rows, t.cols * BYTES)) {
      const slot = {
        ownOffset: rows * begin * BYTES,
        ownBytes: rows * width * BYTES,
        totalBytes: rows * t.cols * BYTES,
      };
      this.#exchange('gather', slot, {
        buf: this.#at(t, row * t.ld),
        ld: t.ld,
        rows,
        rank,
        size: threads,
        starts: table,
      });
    }
  }

  /** Each row of `t` is in the thread that owns its id. */
  #gatherRows(t: Tensor, ids: Tensor, starts: readonly number[]): void {
    const { rank, threads } = this.#context;
    if (threads === 1) return;
    const table = this.#context.constant(`starts ${starts.join(' ')}`, () => starts, 'u32');
    for (const [row, rows] of pieces(t.rows, threads * t.cols * BYTES)) {
      const block = rows * t.cols * BYTES;
      const slot = { ownOffset: rank * block, ownBytes: block, totalBytes: threads * block };
      this.#exchange('gather_rows', slot, {
        buf: this.#at(t, row * t.ld),
        ld: t.ld,
        rows,
        cols: t.cols,
        rank,
        size: threads,
        ids: this.#at(ids, row),
        starts: table,
      });
    }
  }

  #exchange<K extends 'gather' | 'gather_rows'>(
    kernel: K,
    slot: Omit<Slot, 'stage'>,
    args: Omit<StepArgs<K>, 'stage' | 'slot'>,
  ): void {
    const stage = this.#temporary(slot.totalBytes);
    this.#slots.push({ ...slot, stage });
    this.#push({ kernel, args: { ...args, stage, slot: this.#slots.length - 1 } });
  }

  /** The int8 copy of `x`, made once for all linears that read it. */
  #quantise(x: Tensor): BufferAddress {
    const key = `${x.offset} ${x.rows} ${x.cols} ${x.ld}`;
    const known = this.#quantised.get(x.storage)?.get(key);
    if (known) return known;
    const q = this.#temporary(this.#context.actQ8Bytes(x.rows, x.cols));
    this.#step('quantize_q8', { q, ...this.#view('x', x), rows: x.rows, k: x.cols });
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

  #temporary(bytes: number): BufferAddress {
    this.#buffers.push({ bytes, first: Infinity, last: -1 });
    return { buffer: this.#buffers.length - 1, offset: 0 };
  }

  /** The address of element `plus` of `t`. */
  #at(t: Tensor, plus = 0): Argument {
    const offset = (t.offset + plus) * BYTES;
    const placed = this.#placed.get(t.storage);
    if (placed && 'at' in placed) return placed.at + offset;
    return { buffer: this.#bufferOf(t.storage), offset };
  }

  /** The address of a tensor whose kernel takes no stride. */
  #dense(t: Tensor): Argument {
    if (t.ld !== t.cols)
      throw new Error(`a kernel wants rows without gaps: ${t.cols} columns, stride ${t.ld}`);
    return this.#at(t);
  }

  #view<N extends string>(name: N, t: Tensor, plus = 0): Record<N | `ld${N}`, Argument> {
    return { [name]: this.#at(t, plus), [`ld${name}`]: t.ld } as Record<N | `ld${N}`, Argument>;
  }

  #step<K extends KernelName>(kernel: K, args: StepArgs<K>): void {
    this.#push({ kernel, args });
  }

  #push(step: Step): void {
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

function inverseFrequencies(headDim: number, theta: number): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
}

/** Gives buffers offsets so that those alive at the same step do not overlap. */
function layOut(buffers: readonly Buffer[]): { offsets: number[]; bytes: number } {
  const offsets = new Array<number>(buffers.length).fill(0);
  const order = buffers.map((_, i) => i).sort((a, b) => buffers[a].first - buffers[b].first);
  const space = new Allocator(0);
  let alive: number[] = [];
  let bytes = ALIGN;
  for (const i of order) {
    const buffer = buffers[i];
    // An output that nothing writes is still read.
    if (buffer.first === Infinity && buffer.last === -1) continue;
    alive = alive.filter((other) => {
      if (buffers[other].last >= buffer.first) return true;
      space.free(offsets[other]);
      return false;
    });
    offsets[i] = space.alloc(buffer.bytes);
    bytes = Math.max(bytes, offsets[i] + align(buffer.bytes));
    alive.push(i);
  }
  return { offsets, bytes };
}
