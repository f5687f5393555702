/** One conformance case: a program with its weights and the runs to make, the same on every backend. */
import type { RunOptions, StoredWeight } from '../../packages/core/src/backend/index.ts';
import {
  Recorder,
  type Command,
  type KvCacheRef,
  type Program,
  type Tensor,
  type WeightRef,
} from '../../packages/core/src/ops/index.ts';
import { Random } from '../support/random.ts';
import { fill, type Filling } from '../support/values.ts';
import { storeVector, storeWeight, type Storing } from '../support/weights.ts';

export interface Case {
  /** Unique, and enough to find the case again. */
  readonly name: string;
  readonly seed: number;
  readonly program: Program;
  readonly weights: readonly StoredWeight[];
  /** Made one after the other, so that a KV cache fills up. */
  readonly runs: readonly RunOptions[];
  /** Row of the table of errors. */
  readonly label: string | ((command: Command) => string);
  /**
   * The size that an error is measured by, where it is more than the largest true output: for results that cancel, the
   * size of what cancels; for a few results that may all be small by chance, their standard deviation.
   */
  readonly yardstick?: (command: Command) => number | undefined;
  /** In place of the op's own tolerance; the reason stands with the case. */
  readonly tolerance?: (command: Command) => number | undefined;
}

/** Builds a case: a recorder whose inputs and weights come filled. */
export class CaseBuilder {
  readonly name: string;
  readonly random: Random;
  readonly recorder: Recorder;
  readonly weights: StoredWeight[] = [];
  /** The values of every weight, in the file's order, before they are stored. */
  readonly values = new Map<string, Float32Array>();
  readonly inputs: Record<string, Float32Array | Uint32Array> = {};
  #count = 0;

  constructor(name: string, seed: number) {
    this.name = name;
    this.random = new Random(seed);
    this.recorder = new Recorder(name);
  }

  input(rows: number, cols: number, filling: Filling | Float32Array = 'normal'): Tensor {
    const name = this.#name('in');
    this.inputs[name] = typeof filling === 'string' ? fill(filling, this.random, rows * cols) : filling;
    return this.recorder.input(name, rows, cols);
  }

  /** Token ids below `count`. */
  ids(ids: Uint32Array): Tensor {
    const name = this.#name('ids');
    this.inputs[name] = ids;
    return this.recorder.input(name, ids.length, 1, 'u32');
  }

  output(rows: number, cols: number): Tensor {
    return this.recorder.output(this.#name('out'), rows, cols);
  }

  scratch(rows: number, cols: number): Tensor {
    return this.recorder.tensor(this.#name('tmp'), rows, cols);
  }

  matrix(
    n: number,
    k: number,
    storing: Storing,
    options: { filling?: Filling; units?: number; kernel?: number; scale?: number } = {},
  ): WeightRef {
    const { filling = 'normal', units, kernel, scale = 1 } = options;
    const ref = this.recorder.matrix(`${this.name}.${this.#name('w')}`, n, k, { units, kernel });
    const values = fill(filling, this.random, n * k).map((value) => value * scale);
    this.values.set(ref.name, values);
    this.weights.push(storeWeight(ref, values, storing));
    return ref;
  }

  vector(n: number, filling: Filling = 'normal'): WeightRef {
    const ref = this.recorder.vector(`${this.name}.${this.#name('v')}`, n);
    const values = fill(filling, this.random, n);
    this.values.set(ref.name, values);
    this.weights.push(storeVector(ref, values));
    return ref;
  }

  finish(options: Pick<Case, 'label' | 'yardstick' | 'tolerance'> & { runs?: readonly RunOptions[] }): Case {
    return {
      name: this.name,
      seed: this.random.seed,
      program: this.recorder.finish(),
      weights: this.weights,
      runs: options.runs ?? [{ inputs: this.inputs }],
      label: options.label,
      yardstick: options.yardstick,
      tolerance: options.tolerance,
    };
  }

  #name(kind: string): string {
    return `${kind}${this.#count++}`;
  }
}

/** Sides of the kernels' tiles, one below, one above, and more. */
export const edgeRows = [1, 2, 3, 4, 5, 7, 8, 9, 31, 33];
export const edgeCols = [1, 7, 8, 9, 31, 32, 33, 63, 65, 100];

/** The caches of all cases, one a layer: a backend makes its caches once. */
export const caches: KvCacheRef[] = [
  { kvHeads: 1, headDim: 8, context: 40 },
  { kvHeads: 2, headDim: 16, context: 64 },
  { kvHeads: 3, headDim: 32, context: 48 },
  { kvHeads: 4, headDim: 64, context: 160 },
  { kvHeads: 2, headDim: 64, context: 600 },
  { kvHeads: 1, headDim: 128, context: 72 },
  { kvHeads: 2, headDim: 80, context: 33 },
  { kvHeads: 5, headDim: 4, context: 24 },
].map((ref, layer) => ({ ...ref, layer }));
