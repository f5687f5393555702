/**
 * Joins commands into the steps that one dispatch does: a norm into the linears behind it, q, k and v as one, gate, up and
 * SwiGLU as one, rotary into the write of keys and values (and at decode into the attention), all windows of the spatial
 * features as one and all their linears as one. Only what nobody else reads disappears.
 */
import {
  operands,
  sameView,
  type Activation,
  type Command,
  type KvCacheRef,
  type Program,
  type Storage,
  type Tensor,
  type WeightRef,
} from '../../ops/index.ts';

type Of<Op extends Command['op']> = Extract<Command, { op: Op }>;

export interface Norm {
  readonly kind: 'rms' | 'layer';
  readonly w: WeightRef;
  readonly b?: WeightRef;
  readonly eps: number;
}

export interface Part {
  readonly w: WeightRef;
  readonly bias?: WeightRef;
}

export type Step =
  /** Up to three matrices side by side along y's columns, or with `pair` gate and up. */
  | {
      kind: 'linear';
      x: Tensor;
      norm?: Norm;
      parts: readonly Part[];
      pair: boolean;
      act: Activation;
      residual?: Tensor;
      y: Tensor;
    }
  /** One row each, any k. */
  | { kind: 'linears'; parts: readonly Of<'linear'>[] }
  | {
      kind: 'windows';
      window: 'crop' | 'pool';
      x: Tensor;
      grid: number;
      parts: readonly { kernel: number; y: Tensor }[];
    }
  | {
      kind: 'rotary_kv_write';
      q: Tensor;
      k: Tensor;
      v: Tensor;
      heads: number;
      theta: number;
      cache: KvCacheRef;
    }
  /** q, k and v in one storage, one row: turned, written and attended to. */
  | {
      kind: 'rotary_attention';
      q: Tensor;
      k: Tensor;
      v: Tensor;
      heads: number;
      theta: number;
      cache: KvCacheRef;
      y: Tensor;
    }
  | { kind: 'command'; command: Exclude<Command, { op: 'linear' }> };

/** A fused program: its steps, the storages with those added, and for each step the commands in it. */
export interface Fused {
  readonly steps: readonly Step[];
  readonly storages: readonly Storage[];
  /** Per step the indices of the program's commands. */
  readonly from: readonly (readonly number[])[];
}

export interface FuseOptions {
  /** Linears of at most so many rows take their norm in. */
  readonly gemvRows: number;
  /** Matrices with the same key can be read by one dispatch. */
  keyOf(ref: WeightRef): string;
}

export function fuse(program: Program, options: FuseOptions): Fused {
  return new Fusion(program, options).run();
}

/** The names of weights that one dispatch reads together, for placing them together. */
export function weightGroups(program: Program, options: FuseOptions): string[][] {
  return fuse(program, options).steps.flatMap((step) =>
    (step.kind === 'linear' || step.kind === 'linears') && step.parts.length > 1
      ? [step.parts.map(({ w }) => w.name)]
      : [],
  );
}

class Fusion {
  readonly #commands: readonly Command[];
  readonly #options: FuseOptions;
  readonly #storages: Storage[];
  readonly #readers = new Map<number, number[]>();
  readonly #writers = new Map<number, number[]>();
  /** Storages that became columns of another. */
  readonly #moved = new Map<number, { storage: number; offset: number }>();
  readonly #steps: Step[] = [];
  readonly #from: number[][] = [];

  constructor(program: Program, options: FuseOptions) {
    this.#commands = program.commands;
    this.#options = options;
    this.#storages = [...program.storages];
    program.commands.forEach((command, i) => {
      const { reads, writes } = operands(command);
      for (const t of reads) push(this.#readers, t.storage, i);
      for (const t of writes) push(this.#writers, t.storage, i);
    });
  }

  run(): Fused {
    for (let i = 0; i < this.#commands.length;) {
      i += this.#normed(i) || this.#linears(i) || this.#rotary(i) || this.#windows(i) || this.#single(i);
    }
    return { steps: this.#steps, storages: this.#storages, from: this.#from };
  }

  /** A norm and the linears that read it, when nothing else does. */
  #normed(i: number): number {
    const command = this.#commands[i];
    if (command.op !== 'layer_norm' && command.op !== 'rms_norm') return 0;
    const { x, y, w, eps } = command;
    if (y.rows > this.#options.gemvRows || !this.#temporary(y)) return 0;
    const readers = this.#readers.get(y.storage) ?? [];
    const linears = this.#run(i + 1, y);
    if (linears.length === 0 || linears.length !== readers.length) return 0;
    // x must still be what it was when the last of them reads it.
    if (linears.some(({ y: out }) => out.storage === x.storage)) return 0;
    const norm: Norm =
      command.op === 'rms_norm' ? { kind: 'rms', w, eps } : { kind: 'layer', w, b: command.b, eps };
    return 1 + this.#emitLinears(i + 1, linears, x, norm, i);
  }

  #linears(i: number): number {
    const command = this.#commands[i];
    if (command.op !== 'linear') return 0;
    return this.#emitLinears(i, this.#run(i, command.x), command.x, undefined, null);
  }

  /** Consecutive linears from `i` on that read the view `x`. */
  #run(i: number, x: Tensor): Of<'linear'>[] {
    const found: Of<'linear'>[] = [];
    for (;;) {
      const command = this.#commands[i + found.length];
      if (command?.op !== 'linear' || !sameView(command.x, x)) return found;
      found.push(command);
      // The next would read what this one wrote.
      if (command.y.storage === x.storage) return found;
    }
  }

  /** Emits linears of the same x, joined as far as they can be; returns how many commands that took. */
  #emitLinears(
    at: number,
    linears: readonly Of<'linear'>[],
    x: Tensor,
    norm: Norm | undefined,
    normAt: number | null,
  ): number {
    let taken = 0;
    const from = (count: number): number[] => {
      const indices = Array.from({ length: count }, (_, j) => at + taken + j);
      return taken === 0 && normAt !== null ? [normAt, ...indices] : indices;
    };
    while (taken < linears.length) {
      const rest = linears.slice(taken);
      const [first, second] = rest;
      const swiglu = this.#commands[at + taken + 2];
      if (
        rest.length === 2 &&
        first.x.rows <= this.#options.gemvRows &&
        swiglu?.op === 'swiglu' &&
        rest.every((linear) => plain(linear) && !linear.bias) &&
        this.#onlyFor(first.y, at + taken + 2) &&
        this.#onlyFor(second.y, at + taken + 2) &&
        sameView(swiglu.gate, first.y) &&
        sameView(swiglu.up, second.y) &&
        this.#sameKey(rest)
      ) {
        const y = this.#view(swiglu.y);
        this.#emit(
          { kind: 'linear', x: this.#view(x), norm, parts: rest, pair: true, act: 'none', y },
          from(3),
        );
        return taken + 3;
      }
      const side = this.#sideBySide(rest);
      if (side > 1) {
        const group = rest.slice(0, side);
        const y = this.#join(group.map((linear) => linear.y));
        this.#emit(
          { kind: 'linear', x: this.#view(x), norm, parts: group, pair: false, act: 'none', y },
          from(side),
        );
        taken += side;
        continue;
      }
      const { act, residual, y } = first;
      this.#emit(
        {
          kind: 'linear',
          x: this.#view(x),
          norm,
          parts: [first],
          pair: false,
          act,
          residual: residual && this.#view(residual),
          y: this.#view(y),
        },
        from(1),
      );
      taken += 1;
    }
    return taken;
  }

  /** How many of the first linears, at most three, can become columns of one tensor. */
  #sideBySide(linears: readonly Of<'linear'>[]): number {
    let count = 0;
    for (const linear of linears.slice(0, 3)) {
      const { y } = linear;
      if (
        y.rows !== 1 ||
        !plain(linear) ||
        !this.#temporary(y) ||
        this.#writers.get(y.storage)?.[0] === undefined
      )
        break;
      if (!this.#sameKey(linears.slice(0, count + 1))) break;
      count++;
    }
    return count;
  }

  #sameKey(linears: readonly Of<'linear'>[]): boolean {
    const keys = linears.map(({ w }) => this.#options.keyOf(w));
    return keys.every((key) => key === keys[0]);
  }

  /** One new storage for tensors of one row each, which become its columns. */
  #join(tensors: readonly Tensor[]): Tensor {
    const cols = tensors.reduce((sum, t) => sum + t.cols, 0);
    const storage = this.#storages.length;
    const name = tensors.map((t) => this.#storages[t.storage].name).join('+');
    this.#storages.push({ name, kind: 'scratch', dtype: 'f32', size: cols });
    let offset = 0;
    for (const t of tensors) {
      this.#moved.set(t.storage, { storage, offset });
      offset += t.cols;
    }
    return { storage, offset: 0, rows: 1, cols, ld: cols };
  }

  /** rotary q, rotary k, kv_write, and at decode the attention behind them. */
  #rotary(i: number): number {
    const [q, k, write, attention] = this.#commands.slice(i, i + 4);
    if (q?.op !== 'rotary' || k?.op !== 'rotary' || write?.op !== 'kv_write') return 0;
    if (!sameView(write.k, k.x) || q.theta !== k.theta || q.headDim !== k.headDim) return 0;
    if (q.headDim !== write.cache.headDim || q.x.rows !== k.x.rows || q.x.storage === k.x.storage) return 0;
    // The keys as they were turned must not be wanted by anybody else.
    if (!this.#temporary(k.x) || this.#readers.get(k.x.storage)?.at(-1) !== i + 2) return 0;
    const { heads, theta } = q;
    const { cache } = write;
    const views = { q: this.#view(q.x), k: this.#view(k.x), v: this.#view(write.v) };
    const joined = views.q.storage === views.k.storage && views.k.storage === views.v.storage;
    if (
      joined &&
      views.q.rows === 1 &&
      attention?.op === 'attention_cached' &&
      sameView(attention.q, q.x) &&
      attention.cache.layer === cache.layer &&
      this.#readers.get(q.x.storage)?.at(-1) === i + 3
    ) {
      const y = this.#view(attention.y);
      this.#emit({ kind: 'rotary_attention', ...views, heads, theta, cache, y }, [i, i + 1, i + 2, i + 3]);
      return 4;
    }
    // One dispatch can't write q and read k or v in the same buffer.
    if (joined || views.q.storage === views.k.storage || views.q.storage === views.v.storage) return 0;
    this.#emit({ kind: 'rotary_kv_write', ...views, heads, theta, cache }, [i, i + 1, i + 2]);
    return 3;
  }

  /** window, linear, window, linear ...: first all windows, then all linears. */
  #windows(i: number): number {
    const first = this.#commands[i];
    if (first.op !== 'crop' && first.op !== 'pool') return 0;
    const windows: Of<'crop' | 'pool'>[] = [];
    const linears: Of<'linear'>[] = [];
    for (;;) {
      const [window, linear] = this.#commands.slice(i + 2 * windows.length, i + 2 * windows.length + 2);
      if (window?.op !== first.op || !sameView(window.x, first.x) || window.grid !== first.grid) break;
      if (
        linear?.op !== 'linear' ||
        !sameView(linear.x, window.y) ||
        !this.#onlyFor(window.y, i + 2 * windows.length + 1)
      )
        break;
      if (linear.y.storage === first.x.storage || linear.residual || windows.length === 16) break;
      windows.push(window);
      linears.push(linear);
    }
    if (windows.length < 2) return 0;
    this.#join(windows.map(({ y }) => y));
    const indices = windows.map((_, j) => i + 2 * j);
    const parts = windows.map(({ kernel, y }) => ({ kernel, y: this.#view(y) }));
    this.#emit(
      { kind: 'windows', window: first.op, x: this.#view(first.x), grid: first.grid, parts },
      indices,
    );
    this.#emit(
      {
        kind: 'linears',
        parts: linears.map((linear) => ({ ...linear, x: this.#view(linear.x), y: this.#view(linear.y) })),
      },
      indices.map((index) => index + 1),
    );
    return 2 * windows.length;
  }

  #single(i: number): number {
    const command = this.#commands[i];
    if (command.op === 'linear') throw new Error('linears are emitted elsewhere');
    this.#emit({ kind: 'command', command: this.#viewed(command) }, [i]);
    return 1;
  }

  #emit(step: Step, from: number[]): void {
    this.#steps.push(step);
    this.#from.push(from);
  }

  /** Whether a tensor is the whole of a scratch storage that is written once. */
  #temporary(t: Tensor): boolean {
    const { kind, size } = this.#storages[t.storage];
    return kind === 'scratch' && t.offset === 0 && size === t.rows * t.cols;
  }

  /** Whether a temporary is read by one command alone. */
  #onlyFor(t: Tensor, reader: number): boolean {
    const readers = this.#readers.get(t.storage) ?? [];
    return this.#temporary(t) && readers.length === 1 && readers[0] === reader;
  }

  #view(t: Tensor): Tensor {
    const moved = this.#moved.get(t.storage);
    // Only tensors of one row move: their row stride is never used.
    return moved ? { ...t, storage: moved.storage, offset: moved.offset + t.offset } : t;
  }

  #viewed<C extends Command>(command: C): C {
    const fields = Object.entries(command).map(([key, value]: [string, unknown]) => [
      key,
      isTensor(value) ? this.#view(value) : value,
    ]);
    return Object.fromEntries(fields) as C;
  }
}

function plain({ act, residual }: Of<'linear'>): boolean {
  return act === 'none' && !residual;
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'storage' in value;
}

function push(map: Map<number, number[]>, key: number, value: number): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
