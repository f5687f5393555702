/** Records a small program together with its data and with what its outputs may differ by. */
import type { StoredWeight, WeightFormat } from '../../../backend/index.ts';
import {
  copy,
  Recorder,
  type KvCacheRef,
  type Program,
  type Tensor,
  type Tolerance,
  type WeightRef,
} from '../../../ops/index.ts';
import { randomMatrix, storedVector } from './weights.ts';

/** What one output of the program is held to. */
export interface Check {
  readonly output: Tensor;
  /** Largest error, relative to the largest true value or `size`, whichever is more. */
  readonly allowed: number;
  /** For results that cancel or are few: the size of what they are made of. */
  readonly size: number;
}

/** Values of an input: `normal`, or what breaks kernels. */
export type Filling =
  | 'normal'
  /** Sizes from 1e-3 to 1e3 side by side. */
  | 'mixed'
  | 'large'
  /** The same size with changing sign: sums that cancel. */
  | 'alternating'
  /** Stretches of 32 zeros among the rest, and subnormal numbers. */
  | 'tiny';

/** mulberry32: the same data on every machine. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Builder {
  readonly recorder: Recorder;
  readonly weights: StoredWeight[] = [];
  readonly inputs: Record<string, Float32Array | Uint32Array> = {};
  readonly checks: Check[] = [];
  readonly uniform: () => number;
  readonly gemm: Tolerance;
  readonly #name: string;
  /** The recorder makes an output of each tensor named here. */
  readonly #taps = new Set<string>();
  #count = 0;

  /** `gemm`: what linears of many rows are held to, by the arithmetic under test. */
  constructor(name: string, seed: number, gemm: Tolerance) {
    this.gemm = gemm;
    this.recorder = new Recorder(name, this.#taps);
    this.uniform = random(seed);
    this.#name = name;
  }

  finish(): Program {
    return this.recorder.finish();
  }

  /** A name that no other tensor has. */
  name(): string {
    return `${this.#name} ${this.#count++}`;
  }

  /** The name for a tensor that an op makes, which then is an output. */
  tap(): string {
    const name = this.name();
    this.#taps.add(name);
    return name;
  }

  input(rows: number, cols: number, filling: Filling | Float32Array = 'normal'): Tensor {
    const name = this.name();
    this.inputs[name] = typeof filling === 'string' ? this.#fill(filling, rows * cols) : filling;
    return this.recorder.input(name, rows, cols);
  }

  ids(...ids: number[]): Tensor {
    const name = this.name();
    this.inputs[name] = Uint32Array.from(ids);
    return this.recorder.input(name, ids.length, 1, 'u32');
  }

  /** A copy of a new input that ops may write to and fuse. */
  scratch(rows: number, cols: number): Tensor {
    const t = this.recorder.tensor(this.name(), rows, cols);
    copy(this.recorder, this.input(rows, cols), t);
    return t;
  }

  output(rows: number, cols: number): Tensor {
    return this.recorder.output(this.name(), rows, cols);
  }

  /** Weights up to about 1, of standard deviation {@link WEIGHT}. */
  matrix(n: number, k: number, format: WeightFormat, group = 0): WeightRef {
    const ref = this.recorder.matrix(this.name(), n, k);
    this.weights.push(randomMatrix(ref, format, group, this.uniform));
    return ref;
  }

  vector(n: number): WeightRef {
    const ref = this.recorder.vector(this.name(), n);
    this.weights.push(storedVector(ref, this.#fill('normal', n)));
    return ref;
  }

  cache(ref: KvCacheRef): KvCacheRef {
    return this.recorder.cache(ref);
  }

  /** Holds `output` to an op's tolerance for sums of `terms`. */
  check(output: Tensor, { base, growth }: Tolerance, terms = 1, size = 0): void {
    this.checks.push({ output, allowed: base + growth * Math.sqrt(terms), size });
  }

  /** The largest value of an input. */
  largest(t: Tensor): number {
    return this.#values(t).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  }

  /** The largest length of a row of an input: with independent weights, what their products come to. */
  length(t: Tensor): number {
    const values = this.#values(t);
    let most = 0;
    for (let r = 0; r < t.rows; r++) {
      let sum = 0;
      for (let c = 0; c < t.cols; c++) sum += values[r * t.cols + c] ** 2;
      most = Math.max(most, Math.sqrt(sum));
    }
    return most;
  }

  #values(t: Tensor): Float32Array {
    const at = this.recorder.finish().storages[t.storage].name;
    const values = this.inputs[at];
    if (!(values instanceof Float32Array)) throw new Error(`${at} is no input of numbers`);
    return values;
  }

  #normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  #fill(filling: Filling, n: number): Float32Array {
    const values = {
      normal: () => this.#normal(),
      mixed: () => this.#normal() * 10 ** (this.uniform() * 6 - 3),
      large: () => this.#normal() * 1000,
      alternating: (i: number) => (i % 2 === 0 ? 3.7 : -3.7),
      tiny: (i: number) => (i % 96 < 32 ? 0 : i % 5 === 0 ? 1e-40 : this.#normal() * 1e-3),
    };
    return Float32Array.from({ length: n }, (_, i) => values[filling](i));
  }
}
