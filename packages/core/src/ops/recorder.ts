import { operands } from './operands.ts';
import type { Command, DType, KvCacheRef, Program, Storage, Tensor, WeightRef } from './types.ts';

/** A shape that an op can't take: a mistake in model code, never in user input. */
export function assertShape(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`op shape: ${what}`);
}

/** Collects the commands of one program. Model code calls the op functions, which call {@link Recorder.emit}. */
export class Recorder {
  readonly name: string;
  readonly #storages: Storage[] = [];
  readonly #commands: Command[] = [];
  readonly #inputs: Tensor[] = [];
  readonly #outputs: Tensor[] = [];
  readonly #weights = new Map<string, WeightRef>();
  readonly #caches = new Map<number, KvCacheRef>();
  readonly #states = new Map<string, Tensor>();
  readonly #taps: ReadonlySet<string>;

  /** `taps`: names of tensors to read back besides the program's own outputs, for tests and `explain`. */
  constructor(name: string, taps: ReadonlySet<string> = new Set()) {
    this.name = name;
    this.#taps = taps;
  }

  /** A new tensor, alive from its first write to its last read. */
  tensor(name: string, rows: number, cols: number, dtype: DType = 'f32'): Tensor {
    const tapped = this.#taps.has(name);
    const t = this.#allocate(name, tapped ? 'output' : 'scratch', rows, cols, dtype);
    if (tapped) this.#outputs.push(t);
    return t;
  }

  input(name: string, rows: number, cols: number, dtype: DType = 'f32'): Tensor {
    const t = this.#allocate(name, 'input', rows, cols, dtype);
    this.#inputs.push(t);
    return t;
  }

  output(name: string, rows: number, cols: number): Tensor {
    const t = this.#allocate(name, 'output', rows, cols, 'f32');
    this.#outputs.push(t);
    return t;
  }

  /** A tensor kept between runs; programs that name the same state share it. */
  state(name: string, rows: number, cols: number): Tensor {
    let t = this.#states.get(name);
    if (!t) {
      t = this.#allocate(name, 'state', rows, cols, 'f32');
      this.#states.set(name, t);
    }
    return t;
  }

  matrix(name: string, n: number, k: number, options: { units?: number; kernel?: number } = {}): WeightRef {
    const kernel = options.kernel ?? 0;
    return this.#weight({
      name,
      kind: 'matrix',
      n,
      k,
      units: options.units ?? 0,
      order: kernel > 0 ? 'oihw' : 'row',
      kernel,
    });
  }

  vector(name: string, n: number): WeightRef {
    return this.#weight({ name, kind: 'vector', n, k: 1, units: 0, order: 'row', kernel: 0 });
  }

  cache(ref: KvCacheRef): KvCacheRef {
    this.#caches.set(ref.layer, ref);
    return ref;
  }

  emit(command: Command): void {
    this.#commands.push(command);
  }

  /** The recorded program, without the commands whose results nobody reads. */
  finish(): Program {
    return {
      name: this.name,
      storages: this.#storages,
      commands: this.#needed(),
      inputs: this.#inputs,
      outputs: this.#outputs,
      weights: [...this.#weights.values()],
      caches: [...this.#caches.values()],
    };
  }

  /** As the end of the last layer, when only its keys and values are wanted. */
  #needed(): Command[] {
    const read = new Set<number>();
    const kept: Command[] = [];
    for (const command of this.#commands.toReversed()) {
      const { reads, writes } = operands(command);
      const lasting = writes.some((t) => this.#storages[t.storage].kind !== 'scratch' || read.has(t.storage));
      if (command.op !== 'kv_write' && !lasting) continue;
      for (const t of reads) read.add(t.storage);
      kept.push(command);
    }
    return kept.reverse();
  }

  #weight(ref: WeightRef): WeightRef {
    const known = this.#weights.get(ref.name);
    if (known) {
      assertShape(known.n === ref.n && known.k === ref.k, `weight ${ref.name} declared with two shapes`);
      return known;
    }
    this.#weights.set(ref.name, ref);
    return ref;
  }

  #allocate(name: string, kind: Storage['kind'], rows: number, cols: number, dtype: DType): Tensor {
    assertShape(rows > 0 && cols > 0, `${name} is ${rows} x ${cols}`);
    this.#storages.push({ name, kind, dtype, size: rows * cols });
    return { storage: this.#storages.length - 1, offset: 0, rows, cols, ld: cols };
  }
}

/** Rows `[from, from + count)` of `t`. */
export function rowsOf(t: Tensor, from: number, count: number): Tensor {
  assertShape(from >= 0 && count > 0 && from + count <= t.rows, `rows ${from}+${count} of ${t.rows}`);
  return { ...t, offset: t.offset + from * t.ld, rows: count };
}

/** Columns `[from, from + count)` of `t`. */
export function colsOf(t: Tensor, from: number, count: number): Tensor {
  assertShape(from >= 0 && count > 0 && from + count <= t.cols, `cols ${from}+${count} of ${t.cols}`);
  return { ...t, offset: t.offset + from, cols: count };
}
