/**
 * The seam between the model and a device: a backend takes weights and recorded programs, and runs them. It knows
 * commands, never models.
 */
import type { KvCacheRef, Program, WeightRef } from '../ops/index.ts';

export type WeightFormat = 'f32' | 'f16' | 'q8' | 'q4';

/** Element types of stored values. */
export type StoredDType = 'F32' | 'F16' | 'BF16';

/** A weight's stored form. For q8 and q4, `dtype` is that of scales and biases and `group` their reach along k. */
export interface StoredWeight {
  readonly ref: WeightRef;
  readonly format: WeightFormat;
  readonly dtype: StoredDType;
  /** 0 for f32 and f16. */
  readonly group: number;
  /**
   * Bytes of rows `[begin, end)`: `values` are little-endian `dtype` values (or the u32 code words of MLX's affine
   * layout), `scales` and `biases` only for q8 and q4. They are the caller's: it may hand them to another thread.
   */
  readRows(begin: number, end: number, signal?: AbortSignal): Promise<WeightRows>;
  /** For q8 and q4: scales of rows `[begin, end)`, then their biases, as stored. */
  readScales?(begin: number, end: number, signal?: AbortSignal): Promise<Uint8Array>;
}

export interface WeightRows {
  values: Uint8Array;
  scales?: Uint8Array;
  biases?: Uint8Array;
}

/** A program made ready for a device. */
export interface Executable {
  readonly program: Program;
  /** Frees what the backend keeps for it. */
  release(): void;
}

export interface RunOptions {
  /** By input name: exactly the declared elements. */
  inputs?: Record<string, Float32Array | Uint32Array>;
  /** Tokens already in the KV cache: the position of this run's first row. */
  pos?: number;
  signal?: AbortSignal;
}

/** How the next token is chosen from the logits; the values of `SamplingOptions`, all given. */
export interface Sampling {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
}

export interface DecodeOptions {
  /** From the input `ids` `[rows, 1]` to one output, the logits `[1, vocab]` of the last row. */
  readonly prompt: Executable;
  /** The prompt's tokens, for `prompt`. */
  readonly ids: Uint32Array;
  /** Tokens in the KV cache before them. */
  readonly pos: number;
  /** The same with one row: a decode step. */
  readonly step: Executable;
  /**
   * Tokens that were decided before (on a device that was lost): fed one by one, so that the cache gets the very bits it
   * had, and not yielded.
   */
  readonly known: readonly number[];
  /** Most tokens to decide, the known ones included. */
  readonly count: number;
  readonly sampling: Sampling;
  /** A number in [0, 1), called once for each token in turn, known ones too, when `temperature` is not 0. */
  draw(): number;
  readonly signal?: AbortSignal;
}

/** One choice that the backend made, and why. */
export interface Choice {
  /** What was to be chosen: the device, a kernel, the precision. */
  readonly what: string;
  /** What was. */
  readonly chosen: string;
  /** Why, and why not something else; for people. */
  readonly reason: string;
}

/** The codes of {@link Warning}. */
export type WarningCode =
  'BACKEND_FALLBACK' | 'DEVICE_RECOVERED' | 'MODEL_NOT_REVALIDATED' | 'MODEL_NOT_CACHED';

/** Something that did not go as hoped, though the work goes on. */
export interface Warning {
  /** Stable, for programs: another device or arithmetic than the best runs, a lost device was replaced, a cached model may be old, or there was no room to keep one. */
  readonly code: WarningCode;
  /** What happened and why, for people. */
  readonly message: string;
}

/** What a model runs on. */
export interface BackendReport {
  /** As `webgpu` or `wasm`. */
  readonly name: string;
  /** That compute; 1 where a GPU does. */
  readonly threads: number;
  /** Every choice that was made, with its reason. */
  readonly choices: readonly Choice[];
}

/** Memory in use. */
export interface BackendMemory {
  /** All in bytes, summed over threads. */
  readonly weights: number;
  /** The KV cache, in bytes. */
  readonly cache: number;
  /** Of the programs, in bytes. */
  readonly scratch: number;
  /** All together, in bytes. */
  readonly total: number;
}

/** A saved prefix of the KV cache, kept by the backend. */
export interface KvSnapshot {
  readonly tokens: number;
  release(): void;
}

/** What a backend makes room for. */
export interface Reserved {
  /** Positions that the KV cache can have here, less than the programs' caches ask for; `null`: as they ask. */
  readonly context: number | null;
}

/**
 * One device with one set of weights. Calls are made one at a time (the pipeline owns a queue). After an abort the
 * backend is as usable as before; the KV rows written by the aborted run are undefined.
 */
export interface Backend {
  readonly report: BackendReport;
  /**
   * Says what will be loaded and run, so that a backend can place together what is used together, and refuse what it has
   * no room for before a byte is read. Optional to call, once, before the first {@link loadWeight}. A backend may cut the
   * programs' context, but not below `leastContext`.
   *
   * @throws {DeviceError} `OUT_OF_MEMORY`.
   */
  reserve?(
    weights: readonly StoredWeight[],
    programs: readonly Program[],
    leastContext?: number,
  ): Promise<Reserved>;
  /** How many {@link loadWeight} may be under way at a time; one by default. */
  readonly loadsAtOnce?: number;
  /** Uploads one weight; every weight of a program must be loaded before it is compiled. */
  loadWeight(weight: StoredWeight, signal?: AbortSignal): Promise<void>;
  /** Allocates the KV cache of all layers. Once. */
  createCache(caches: readonly KvCacheRef[]): Promise<void>;
  compile(program: Program): Promise<Executable>;
  /**
   * Runs a program and returns its outputs in the order of `program.outputs`. The arrays are reused: they are valid
   * until the next run.
   */
  run(executable: Executable, options: RunOptions): Promise<readonly Float32Array[]>;
  /**
   * Decodes token by token without a round trip for each: a sampled token feeds the next step on the device, and ids come
   * out some steps behind. A backend without it is asked for logits, and the pipeline samples. Ending the loop early is
   * cheap: the KV rows behind the last token taken are undefined.
   *
   * @throws {DeviceError} `LOGITS_NOT_FINITE`, `DEVICE_LOST`.
   */
  decode?(options: DecodeOptions): AsyncGenerator<number, void, undefined>;
  /** Copies the first `tokens` positions of every layer's cache aside. */
  saveCache(tokens: number): Promise<KvSnapshot>;
  restoreCache(snapshot: KvSnapshot): Promise<void>;
  memory(): Promise<BackendMemory>;
  dispose(): Promise<void>;
}
