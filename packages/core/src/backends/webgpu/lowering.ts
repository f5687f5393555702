/** Collects the dispatches of one program; see lower.ts for what each step becomes. */
import type { KvCacheRef, Storage, Tensor, WeightRef } from '../../ops/index.ts';
import { fold, type BufferRef, type Dispatch, type Groups } from './dispatch.ts';
import type { Selection } from './select/selection.ts';
import { kernels, permits, variantOf, type KernelName, type Options, type Variant } from './shader.ts';
import type { Matrix } from './weights.ts';

/** `norm_b`, `bias_0`, ... of an operand that is absent. */
export const NONE = 0xffffffff;

/** What lowering needs to know of the device and its weights. */
export interface LoweringContext {
  readonly selection: Selection;
  matrix(ref: WeightRef): Matrix;
  /** In elements of the buffer of vectors. */
  vector(ref: WeightRef): number;
  cache(ref: KvCacheRef): KvCacheRef;
}

export interface Lowered {
  readonly storages: readonly Storage[];
  readonly dispatches: readonly Dispatch[];
}

export class Lowering {
  readonly context: LoweringContext;
  readonly #storages: Storage[];
  readonly #dispatches: Dispatch[] = [];
  #step = 0;

  constructor(storages: readonly Storage[], context: LoweringContext) {
    this.#storages = [...storages];
    this.context = context;
  }

  beginStep(index: number): void {
    this.#step = index;
  }

  finish(): Lowered {
    return { storages: this.#storages, dispatches: this.#dispatches };
  }

  /** A scratch tensor of the device's own. */
  scratch(name: string, rows: number, cols: number): Tensor {
    this.#storages.push({ name, kind: 'scratch', dtype: 'f32', size: rows * cols });
    return { storage: this.#storages.length - 1, offset: 0, rows, cols, ld: cols };
  }

  /** The variant of a kernel that was selected, or the first that can do these options. */
  variant(kernel: KernelName, options: Options): { name: string; variant: Variant } {
    const { variants } = kernels[kernel];
    const selected = this.context.selection.variants[kernel];
    const names = selected ? [selected, ...Object.keys(variants).reverse()] : Object.keys(variants);
    const name = names.find((candidate) => permits(variantOf(kernel, candidate), options));
    if (name === undefined) throw new Error(`no variant of ${kernel} can do ${JSON.stringify(options)}`);
    return { name, variant: variantOf(kernel, name) };
  }

  /** A numeric constant of a variant. */
  constant(variant: Variant, name: string): number {
    const value = variant.set[name];
    if (typeof value !== 'number') throw new Error(`a variant has no number ${name}`);
    return value;
  }

  emit(
    kernel: KernelName,
    variant: string,
    options: Options,
    params: Dispatch['params'],
    bindings: readonly BufferRef[],
    groups: Dispatch['groups'],
  ): void {
    this.#dispatches.push({ kernel, variant, options, params, bindings, groups, step: this.#step });
  }

  /** One invocation an element. */
  emitFlat(
    kernel: KernelName,
    options: Options,
    elements: number,
    params: Dispatch['params'],
    bindings: readonly BufferRef[],
  ): void {
    const { name, variant } = this.variant(kernel, options);
    const { grid_x, groups } = this.fold(elements, this.constant(variant, 'WG'));
    this.emit(kernel, name, options, { ...params, grid_x }, bindings, groups);
  }

  fold(elements: number, perGroup: number): { grid_x: number; groups: Groups } {
    return fold(Math.ceil(elements / perGroup));
  }

  /** `t` for reading beside what is written to: a copy where both lie in one storage. */
  readable(t: Tensor, ...written: readonly Tensor[]): Tensor {
    if (written.every(({ storage }) => storage !== t.storage)) return t;
    const copy = this.scratch('copy', t.rows, t.cols);
    this.copy(t, copy);
    return copy;
  }

  copy(x: Tensor, y: Tensor): void {
    const { rows, cols } = x;
    const params = { rows, cols, ...view('x', x), ...view('y', y) };
    this.emitFlat('activation', { ACT: 'none' }, rows * cols, params, [of(x), of(y)]);
  }
}

/** The parameters `<name>_offset` and `<name>_ld` of a tensor. */
export function view(name: string, t: Tensor): Record<string, number> {
  return { [`${name}_offset`]: t.offset, [`${name}_ld`]: t.ld };
}

export function of(t: Tensor): BufferRef {
  return { kind: 'storage', index: t.storage };
}

export const VECTORS: BufferRef = { kind: 'vectors' };
export const DUMMY: BufferRef = { kind: 'dummy', index: 0 };
export const OTHER_DUMMY: BufferRef = { kind: 'dummy', index: 1 };
