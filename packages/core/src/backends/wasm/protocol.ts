/** What the coordinator and its threads say to each other. All of it can be cloned or transferred. */
import type { WireError } from '../../errors/wire.ts';
import type { KvCacheRef, Program } from '../../ops/index.ts';
import type { EngineOptions, RowsMessage, WeightMessage } from './engine.ts';
import type { Workload } from './needs.ts';
import type { KernelChoice } from './select/linear.ts';

export type Variant = 'simd' | 'relaxed';

/** One measured and tested build of the kernels. */
export interface ProbeResult {
  variant: Variant;
  /** Why it can't be used, or `null`. */
  refusal: string | null;
  /** Milliseconds of the q4 matrix-vector product, by kernel. */
  gemv: { kernel: KernelChoice['q4Gemv']; ms: number }[];
  /** Milliseconds of the q4 matrix product. */
  gemm: number;
}

export type Request =
  | { type: 'probe'; modules: { variant: Variant; module: WebAssembly.Module }[] }
  | ({ type: 'init' } & EngineOptions)
  | { type: 'needs'; workload: Workload; threads: number }
  | { type: 'reserve'; bytes: number }
  | { type: 'weight'; message: WeightMessage }
  | { type: 'rows'; rows: RowsMessage }
  | { type: 'weight-end'; name: string }
  | { type: 'caches'; caches: readonly KvCacheRef[] }
  | { type: 'compile'; id: number; program: Program; mailbox: SharedArrayBuffer | null }
  | { type: 'release'; id: number }
  /** A whole run: begin, run and, on thread 0, collect. */
  | { type: 'step'; id: number; inputs: (Float32Array | Uint32Array)[]; pos: number }
  | { type: 'begin'; id: number; inputs: (Float32Array | Uint32Array)[]; pos: number }
  | { type: 'run'; id: number; from: number; to: number }
  | { type: 'collect'; id: number }
  | { type: 'profile'; id: number }
  | { type: 'save'; snapshot: number; tokens: number }
  | { type: 'restore'; snapshot: number; tokens: number }
  | { type: 'drop'; snapshot: number }
  | { type: 'usage' };

/** A request with the number under which it is answered. */
export type Envelope = Request & { seq: number };

export type Reply = { seq: number; value: unknown } | { seq: number; error: WireError };
