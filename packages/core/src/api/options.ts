import type { Warning } from '../backend/index.ts';
import { DEVICES, PRECISIONS, type Device, type Precision } from '../backends/devices.ts';
import { checkSource } from '../download/index.ts';
import type { DownloadOptions } from '../download/options.ts';
import type { ModelSource } from '../download/source.ts';
import { ArgumentError } from '../errors/index.ts';
import type { GenerateOptions } from '../pipeline/generate.ts';

export type { Device, Precision } from '../backends/devices.ts';

/**
 * What `load` reports while it works. Bytes are of the weights, as they are downloaded (what has to be fetched again counts
 * down) and as they go to the device; `fraction` is 0 to 1 over everything, and begins again when a device is lost meanwhile.
 */
export interface LoadProgress {
  /** What is being done. */
  readonly phase: 'files' | 'download' | 'device' | 'weights' | 'compile' | 'ready';
  /** Bytes of this phase that are done. */
  readonly loaded: number;
  /** Bytes of this phase. */
  readonly total: number;
  /** 0 to 1 over all phases. */
  readonly fraction: number;
  /** While downloading: bytes a second. */
  readonly rate?: number;
  /** While downloading; `null` while there is nothing to tell it by. */
  readonly secondsLeft?: number | null;
}

/** How a model is loaded; all optional. */
export interface LoadOptions extends DownloadOptions {
  /** `auto` (the default) takes the best that works here; `model.info` says which and why. */
  device?: Device;
  /**
   * A WebGPU device of yours to run on, instead of one of the model's own; implies `webgpu`. It is never destroyed. When it
   * is lost, the model goes on with a device of its own.
   */
  gpu?: GPUDevice;
  /** Arithmetic on WebGPU: `auto` (the default) takes f16 where the adapter has it and computes it well enough. */
  precision?: Precision;
  /** Worker threads of the WASM backend; by default one a core. */
  threads?: number;
  /** Forces a build of the WASM kernels; by default the fastest that passes its self-test. */
  kernels?: 'simd' | 'relaxed';
  /**
   * Most tokens of image, question and answer together; the KV cache is allocated for so many. By default the model's
   * own context, at most 4096, or what its largest picture and a question on it want.
   */
  context?: number;
  /** Hears how far it is. */
  onProgress?: (progress: LoadProgress) => void;
  /** Hears, now and later, of what did not go as hoped though the work goes on; `model.info.warnings` keeps it. */
  onWarning?: (warning: Warning) => void;
  /** Stops downloads, files and weights: `AbortedError`, at once. */
  signal?: AbortSignal;
}

/** How an answer is made; all optional, the default is greedy. */
export interface AskOptions extends GenerateOptions {
  /** The answer says where the model looked: see `Answer.explanation`. */
  explain?: boolean;
}

/** @throws {ArgumentError} `OPTION_INVALID`. */
export function checkLoadOptions(source: ModelSource, options: LoadOptions): void {
  checkSource(source);
  checkCommon(options);
  checkListeners(options);
  const { device, gpu, precision, kernels } = options;
  if (device !== undefined && !DEVICES.includes(device)) {
    throw invalid('device', device, DEVICES);
  }
  if (gpu !== undefined && !isDevice(gpu)) throw wrong('gpu', kindOf(gpu), 'a GPUDevice');
  if (gpu !== undefined && (device === 'wasm' || device === 'webgl')) {
    throw new ArgumentError({
      code: 'OPTION_INVALID',
      message: `gpu was given, and the device "${device}": a GPUDevice is for WebGPU.`,
      fix: 'Leave device out, or gpu.',
    });
  }
  if (precision !== undefined && !PRECISIONS.includes(precision)) {
    throw invalid('precision', precision, PRECISIONS);
  }
  if (kernels !== undefined && kernels !== 'simd' && kernels !== 'relaxed') {
    throw invalid('kernels', kernels, ['simd', 'relaxed']);
  }
}

/** @throws {ArgumentError} `OPTION_INVALID`. */
export function checkListeners(options: {
  readonly onProgress?: unknown;
  readonly onWarning?: unknown;
}): void {
  for (const name of ['onProgress', 'onWarning'] as const) {
    const listener = options[name];
    if (listener !== undefined && typeof listener !== 'function') {
      throw wrong(name, kindOf(listener), 'a function');
    }
  }
}

/** By what it does: the class has no global name everywhere. */
function isDevice(value: unknown): value is GPUDevice {
  return typeof value === 'object' && value !== null && 'createBuffer' in value && 'queue' in value;
}

/** What every question checks before its options are read. @throws {ArgumentError} `OPTION_INVALID`. */
export function checkCommon(options: { readonly signal?: AbortSignal }): void {
  if (typeof options !== 'object' || options === null) throw wrong('options', kindOf(options), 'an object');
  const { signal } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw wrong('signal', kindOf(signal), 'an AbortSignal');
  }
}

/** The options but for these, which go another way. */
export function without<T extends object, K extends keyof T>(options: T, ...names: readonly K[]): Omit<T, K> {
  const rest = { ...options };
  for (const name of names) delete rest[name];
  return rest;
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

function invalid(name: string, value: unknown, allowed: readonly string[]): ArgumentError {
  const shown = typeof value === 'string' ? JSON.stringify(value) : kindOf(value);
  return wrong(name, shown, `one of ${allowed.join(', ')}`);
}

function wrong(name: string, found: string, wanted: string): ArgumentError {
  return new ArgumentError({
    code: 'OPTION_INVALID',
    message: `${name} is ${found}; it must be ${wanted}.`,
    fix: `Correct ${name}, or leave it out for the default.`,
  });
}
