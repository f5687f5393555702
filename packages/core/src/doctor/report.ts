import type { Choice } from '../backend/index.ts';
import type { AdapterReport } from '../backends/webgpu/device.ts';

/** One form of one kernel. */
export interface DoctorRow {
  /** Its stem, as `linear_gemv`; of a WASM build its name. */
  readonly kernel: string;
  /** The way it is computed. */
  readonly variant: string;
  /** Weight format, activation and the like. */
  readonly form: string;
  /** `unsupported`: this device can't run it, which is no fault. */
  readonly verdict: 'ok' | 'failed' | 'unsupported';
  /** Why it failed, or can't run here. */
  readonly reason?: string;
  /** Largest error, relative to the largest value or to what the sums are made of. */
  readonly error?: number;
  /** The largest that is allowed. */
  readonly allowed?: number;
  /** Microseconds of the whole test program, of which the kernel is a part: tells slow from very slow. */
  readonly us?: number;
}

/** What {@link doctor} found. */
export interface DoctorReport {
  /** No kernel computes wrongly. */
  readonly passed: boolean;
  /** The WebGPU adapter and its kernels. */
  readonly webgpu:
    | {
        /** What the adapter says of itself. */
        readonly adapter: AdapterReport;
        /** Its WebGPU features. */
        readonly features: readonly string[];
        /** Features of its shading language. */
        readonly language: readonly string[];
        /** Its limits by WebGPU's names, in WebGPU's units. */
        readonly limits: Readonly<Record<string, number>>;
        /** What a model would run on this adapter, and why. */
        readonly choices: readonly Choice[];
        /** What was not taken, and why. */
        readonly warnings: readonly string[];
        /** Every kernel in every form that the adapter can run. */
        readonly rows: readonly DoctorRow[];
      }
    | {
        /** Why there is none. */
        readonly unavailable: string;
      };
  /** The builds of the WASM kernels. */
  readonly wasm: readonly DoctorRow[];
  /** What the device `auto` is here, and why. */
  readonly auto: Choice;
}

/** What to examine. */
export interface DoctorOptions {
  /** A device of yours to examine instead of the best adapter; it is never destroyed. */
  gpu?: GPUDevice;
  /** The WebGPU kernels to examine; by default all. */
  kernels?: readonly string[];
  /** Hears of each row as it comes. */
  onProgress?: (row: DoctorRow, done: number, total: number) => void;
  /** Stops the work: `AbortedError`. */
  signal?: AbortSignal;
}
