/**
 * The vocabulary of the op set. A model calls ops on a {@link Recorder}; each call checks shapes and appends one
 * {@link Command}. Commands are plain data: they can be printed, counted, sent to a worker, and run by any backend.
 */

export type DType = 'f32' | 'u32';

/** Activations a linear or an `activation` command can apply. `gelu` is the exact (erf) form. */
export type Activation = 'none' | 'gelu' | 'quick_gelu' | 'gelu_tanh' | 'silu' | 'relu';

/** A view of a storage: `rows x cols`, row-major, rows `ld` elements apart, starting at element `offset`. */
export interface Tensor {
  readonly storage: number;
  readonly offset: number;
  readonly rows: number;
  readonly cols: number;
  readonly ld: number;
}

/**
 * What backs a tensor. `scratch` lives from its first write to its last read; `input` is filled by the host before a
 * run; `output` is read by the host after it; `state` is kept between runs and shared by name between programs.
 */
export interface Storage {
  readonly name: string;
  readonly kind: 'scratch' | 'input' | 'output' | 'state';
  readonly dtype: DType;
  /** In elements. */
  readonly size: number;
}

/** A weight as the model declares it; where its bytes come from and how they are stored is not the model's business. */
export interface WeightRef {
  /** The tensor's full on-device name, as `...q_proj.weight`. */
  readonly name: string;
  /** `matrix` is `[n, k]` in any weight format; `vector` is `n` values in f32 (`k` = 1). */
  readonly kind: 'matrix' | 'vector';
  /** Output rows. */
  readonly n: number;
  /** Input columns. */
  readonly k: number;
  /**
   * How many equal groups of output rows belong together (attention heads): a backend that splits rows between
   * threads cuts at their borders. 0: anywhere.
   */
  readonly units: number;
  /** Order in the file when it is not quantised: `oihw` convolutions are reordered to `[out, kh, kw, in]`. */
  readonly order: 'row' | 'oihw';
  /** For `oihw`: the kernel's side. */
  readonly kernel: number;
}

/** The keys and values of one decoder layer: `kvHeads x context x headDim` each, kept between runs. */
export interface KvCacheRef {
  readonly layer: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly context: number;
}

export type Command =
  | {
      op: 'linear';
      x: Tensor;
      w: WeightRef;
      bias?: WeightRef;
      residual?: Tensor;
      act: Activation;
      y: Tensor;
    }
  | { op: 'layer_norm'; x: Tensor; w: WeightRef; b: WeightRef; eps: number; y: Tensor }
  | { op: 'rms_norm'; x: Tensor; w: WeightRef; eps: number; y: Tensor }
  | { op: 'embed'; ids: Tensor; w: WeightRef; y: Tensor }
  | { op: 'take'; table: Tensor; ids: Tensor; y: Tensor }
  | { op: 'rotary'; x: Tensor; heads: number; headDim: number; theta: number }
  | { op: 'kv_write'; k: Tensor; v: Tensor; cache: KvCacheRef }
  | { op: 'attention_cached'; q: Tensor; cache: KvCacheRef; heads: number; y: Tensor }
  | { op: 'attention'; q: Tensor; k: Tensor; v: Tensor; heads: number; y: Tensor }
  | { op: 'cross_attention'; q: Tensor; k: Tensor; v: Tensor; map: Tensor; y: Tensor }
  | { op: 'activation'; x: Tensor; act: Activation; y: Tensor }
  | { op: 'swiglu'; gate: Tensor; up: Tensor; y: Tensor }
  | { op: 'copy'; x: Tensor; y: Tensor }
  | { op: 'patchify'; pixels: Tensor; channels: number; grid: number; patch: number; y: Tensor }
  | { op: 'assemble_cls'; patches: Tensor; cls: WeightRef | null; pos: WeightRef; y: Tensor }
  | { op: 'crop'; x: Tensor; grid: number; kernel: number; y: Tensor }
  | { op: 'pool'; x: Tensor; grid: number; kernel: number; y: Tensor }
  | { op: 'unfold'; x: Tensor; grid: number; kernel: number; stride: number; y: Tensor };

export type OpName = Command['op'];

/** A recorded command list for one shape. */
export interface Program {
  readonly name: string;
  readonly storages: readonly Storage[];
  readonly commands: readonly Command[];
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly weights: readonly WeightRef[];
  readonly caches: readonly KvCacheRef[];
}

/**
 * The largest difference from a float64 evaluation that an op may show in f32 arithmetic, relative to the largest
 * magnitude of the true output. `growth` is the extra allowance per square root of summed terms.
 */
export interface Tolerance {
  readonly base: number;
  readonly growth: number;
}
