/**
 * Cuts a program at the linears that the GPU takes. The commands between become programs of their own for another backend;
 * what they hand on to each other stays there as state, what a GPU linear reads is an output of the program before it, and
 * what it writes an input of the one behind it.
 */
import {
  operands,
  type Command,
  type Program,
  type Storage,
  type Tensor,
  type WeightRef,
} from '../../ops/index.ts';

export type Linear = Extract<Command, { op: 'linear' }>;

/** Values that go from a backend's memory to the GPU or back: dense, by name. */
export interface Transfer {
  readonly name: string;
  readonly t: Tensor;
}

/** Linears of as many rows each, one behind the other on the GPU. */
export interface Stage {
  readonly rows: number;
  readonly steps: readonly Step[];
}

export interface Step {
  readonly linear: Linear;
  /** Where x comes from: a transfer, or the step of this stage that computed it. */
  readonly x: Transfer | number;
  readonly residual: Transfer | number | null;
  /** Where y goes when it is read behind this stage; it stays on the GPU when it is not. */
  readonly y: Transfer | null;
}

export interface Part {
  /** `null`: there is nothing to do for the other backend. */
  readonly program: Program | null;
  /** How many of the program's outputs, from the first, are for {@link stage}; the rest are the whole program's. */
  readonly given: readonly Transfer[];
  /** What runs on the GPU behind it; only the last part has none. */
  readonly stage: Stage | null;
}

/** The parts of `program`; one alone, which is it, where `onGpu` takes no linear. */
export function cut(program: Program, onGpu: (linear: Linear) => boolean): readonly Part[] {
  const groups = group(program, onGpu);
  if (groups.length === 1) return [{ program, given: [], stage: null }];
  const outside = new Outside(program, groups);
  const stages = groups.map(({ linears }, i) => stageOf(linears, i, outside));
  return new Cutting(program, groups, stages).parts();
}

/** Commands for the other backend, and the linears behind them. */
interface Group {
  readonly others: Command[];
  readonly linears: Linear[];
}

function group({ commands }: Program, onGpu: (linear: Linear) => boolean): Group[] {
  let current: Group = { others: [], linears: [] };
  const groups = [current];
  const next = (): void => {
    current = { others: [], linears: [] };
    groups.push(current);
  };
  for (const command of commands) {
    if (command.op === 'linear' && onGpu(command)) {
      if (!joins(current.linears, command)) next();
      current.linears.push(command);
    } else {
      if (current.linears.length > 0) next();
      current.others.push(command);
    }
  }
  if (current.linears.length > 0) next();
  return groups;
}

/** Whether a linear can run behind the others without their results coming back first. */
function joins(before: readonly Linear[], linear: Linear): boolean {
  if (before.length === 0) return true;
  if (before[0].x.rows !== linear.x.rows) return false;
  const reads = linear.residual ? [linear.x, linear.residual] : [linear.x];
  return reads.every((t) => {
    const writers = before.filter(({ y }) => y.storage === t.storage);
    if (writers.length === 0) return true;
    // A residual is added when the result is read back: what stays on the GPU lacks it.
    const whole = t !== linear.x || !writers[0].residual;
    return writers.length === 1 && sameView(writers[0].y, t) && whole;
  });
}

/** Who reads a storage, besides the linears of one group. */
class Outside {
  readonly #program: Program;
  readonly #readers = new Map<number, Set<number>>();

  constructor(program: Program, groups: readonly Group[]) {
    this.#program = program;
    groups.forEach(({ others, linears }, i) => {
      for (const command of others) this.#add(command, -1);
      for (const command of linears) this.#add(command, i);
    });
  }

  #add(command: Command, group: number): void {
    for (const { storage } of operands(command).reads) {
      const known = this.#readers.get(storage) ?? new Set();
      this.#readers.set(storage, known.add(group));
    }
  }

  reads({ storage }: Tensor, group: number): boolean {
    if (this.#program.storages[storage].kind !== 'scratch') return true;
    return [...(this.#readers.get(storage) ?? [])].some((reader) => reader !== group);
  }
}

function stageOf(linears: readonly Linear[], group: number, outside: Outside): Stage | null {
  if (linears.length === 0) return null;
  const given = new Map<string, Transfer>();
  const source = (t: Tensor, before: number): Transfer | number => {
    const made = linears.slice(0, before).findLastIndex(({ y }) => y.storage === t.storage);
    if (made >= 0) return made;
    const key = `${t.storage} ${t.offset} ${t.cols} ${t.ld}`;
    const known = given.get(key) ?? { name: `gpu ${group} reads ${given.size}`, t };
    given.set(key, known);
    return known;
  };
  const steps = linears.map((linear, i): Step => {
    const { x, y, residual } = linear;
    return {
      linear,
      x: source(x, i),
      residual: residual ? source(residual, i) : null,
      y: outside.reads(y, group) ? { name: `gpu ${group} wrote ${i}`, t: y } : null,
    };
  });
  return { rows: linears[0].x.rows, steps };
}

/** What of a stage is read from the other backend's memory, once each. */
function givenTo(stage: Stage | null): readonly Transfer[] {
  const all = stage?.steps.flatMap(({ x, residual }) => [x, residual]) ?? [];
  return [...new Set(all.filter((t): t is Transfer => typeof t === 'object' && t !== null))];
}

function takenFrom(stage: Stage | null): readonly Transfer[] {
  return stage?.steps.flatMap(({ y }) => y ?? []) ?? [];
}

class Cutting {
  readonly #program: Program;
  readonly #groups: readonly Group[];
  readonly #stages: readonly (Stage | null)[];
  /** By storage: the first and the last part that touch it. */
  readonly #spans = new Map<number, { first: number; last: number }>();
  /** By storage that several parts share: the name of the state that it lies in. */
  readonly #shared = new Map<number, string>();

  constructor(program: Program, groups: readonly Group[], stages: readonly (Stage | null)[]) {
    this.#program = program;
    this.#groups = groups;
    this.#stages = stages;
    groups.forEach((_, i) => {
      for (const storage of this.#touched(i)) this.#touch(storage, i);
    });
    // The outputs are read when all is done.
    for (const { storage } of program.outputs) this.#touch(storage, groups.length - 1);
    this.#share();
  }

  parts(): Part[] {
    return this.#groups.map((_, i) => this.#part(i));
  }

  #touch(storage: number, part: number): void {
    const span = this.#spans.get(storage);
    this.#spans.set(storage, { first: Math.min(part, span?.first ?? part), last: part });
  }

  /** Storages that part `i` computes with, gives to the GPU or takes from it. */
  #touched(i: number): Set<number> {
    const computed = this.#groups[i].others.flatMap((command) => {
      const { reads, writes } = operands(command);
      return [...reads, ...writes];
    });
    const moved = [...this.#taken(i), ...givenTo(this.#stages[i])].map(({ t }) => t);
    return new Set([...computed, ...moved].map(({ storage }) => storage));
  }

  /** What the stage in front of part `i` computed. */
  #taken(i: number): readonly Transfer[] {
    return takenFrom(this.#stages[i - 1] ?? null);
  }

  /**
   * Storages that live from one part to another share states of their size: one takes the place of another whose last part
   * is over. A run leaves nothing in them, so that all programs can use the same.
   */
  #share(): void {
    const free = new Map<string, { size: number; until: number; name: string }>();
    const crossing = [...this.#spans]
      .filter(([storage, { first, last }]) => first < last && this.#moves(storage))
      .sort(([, a], [, b]) => a.first - b.first);
    for (const [storage, { first, last }] of crossing) {
      const { size } = this.#program.storages[storage];
      const over = [...free.values()].find((slot) => slot.size === size && slot.until < first);
      const name = over?.name ?? `cut ${size} ${[...free.values()].filter((s) => s.size === size).length}`;
      free.set(name, { size, until: last, name });
      this.#shared.set(storage, name);
    }
  }

  /** States are there in every part already, and inputs are given to each that reads them. */
  #moves(storage: number): boolean {
    const { kind } = this.#program.storages[storage];
    return kind === 'scratch' || kind === 'output';
  }

  #part(i: number): Part {
    const { name, storages, inputs, outputs } = this.#program;
    const last = i === this.#groups.length - 1;
    const stage = this.#stages[i];
    const touched = this.#touched(i);
    const draft = new Draft(storages.map((storage, s) => this.#storage(storage, s)));
    const given = givenTo(stage);
    for (const { name: from, t } of this.#taken(i)) draft.copy(draft.dense('input', from, t), t);
    draft.commands.push(...this.#groups[i].others);
    for (const { name: to, t } of given) draft.copy(t, draft.dense('output', to, t));
    for (const t of last ? outputs : []) {
      const out = this.#shared.has(t.storage) ? draft.dense('output', storages[t.storage].name, t) : t;
      if (out === t) draft.outputs.push(t);
      else draft.copy(t, out);
    }
    draft.inputs.push(...inputs.filter(({ storage }) => touched.has(storage)));
    const idle = draft.commands.length === 0 && draft.outputs.length === 0;
    return { program: idle ? null : draft.program(`${name} part ${i}`), given, stage };
  }

  #storage(storage: Storage, i: number): Storage {
    const shared = this.#shared.get(i);
    return shared === undefined ? storage : { ...storage, kind: 'state', name: shared };
  }
}

/** A part that is being put together; storages keep their places. */
class Draft {
  readonly storages: Storage[];
  readonly commands: Command[] = [];
  readonly inputs: Tensor[] = [];
  readonly outputs: Tensor[] = [];

  constructor(storages: Storage[]) {
    this.storages = storages;
  }

  /** A storage of its own for values that look like `t`. */
  dense(kind: 'input' | 'output', name: string, { rows, cols }: Tensor): Tensor {
    this.storages.push({ name, kind, dtype: 'f32', size: rows * cols });
    const t = { storage: this.storages.length - 1, offset: 0, rows, cols, ld: cols };
    (kind === 'input' ? this.inputs : this.outputs).push(t);
    return t;
  }

  copy(x: Tensor, y: Tensor): void {
    this.commands.push({ op: 'copy', x, y });
  }

  program(name: string): Program {
    const weights = new Map(this.commands.flatMap(weightsOf).map((ref) => [ref.name, ref]));
    const caches = new Map(
      this.commands.flatMap((c) => ('cache' in c ? [[c.cache.layer, c.cache] as const] : [])),
    );
    return {
      name,
      ...this.#compact(),
      weights: [...weights.values()],
      caches: [...caches.values()],
    };
  }

  /** Without the storages that only other parts use: each would be given memory. */
  #compact(): Pick<Program, 'storages' | 'commands' | 'inputs' | 'outputs'> {
    const used = new Map<number, number>();
    const storages: Storage[] = [];
    const move = (t: Tensor): Tensor => {
      let storage = used.get(t.storage);
      if (storage === undefined) {
        // Storages that share a state are one.
        const { kind, name } = this.storages[t.storage];
        storage = kind === 'state' ? storages.findIndex((s) => s.kind === kind && s.name === name) : -1;
        if (storage < 0) storage = storages.push(this.storages[t.storage]) - 1;
        used.set(t.storage, storage);
      }
      return { ...t, storage };
    };
    return {
      commands: this.commands.map((command) => withTensors(command, move)),
      inputs: this.inputs.map(move),
      outputs: this.outputs.map(move),
      storages,
    };
  }
}

/** The command with its tensors replaced. */
function withTensors<C extends Command>(command: C, replace: (t: Tensor) => Tensor): C {
  const fields: [string, unknown][] = Object.entries(command);
  return Object.fromEntries(
    fields.map(([key, value]) => [key, isTensor(value) ? replace(value) : value]),
  ) as C;
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'storage' in value && 'ld' in value;
}

export function weightsOf(command: Command): WeightRef[] {
  const fields: unknown[] = Object.values(command);
  return fields.filter(
    (value): value is WeightRef => typeof value === 'object' && value !== null && 'units' in value,
  );
}

function sameView(a: Tensor, b: Tensor): boolean {
  return a.offset === b.offset && a.rows === b.rows && a.cols === b.cols && a.ld === b.ld;
}
