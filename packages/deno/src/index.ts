/** LLaVA-SP in Deno. */
import {
  doctor as examine,
  loadModel,
  type DoctorOptions,
  type DoctorReport,
  type LoadOptions,
  type Model,
} from '@llava-sp/core';
import { denoHost } from './host.ts';

export * from '@llava-sp/core';
export { denoHost } from './host.ts';

/**
 * Loads a model from a folder (a path or file: URL) and makes it ready to answer. Its worker threads keep the process
 * alive until `dispose()`.
 *
 * @throws LoadError when a file is missing, damaged or not permitted to be read, UnsupportedError for an unknown
 *   architecture or a device that is not there, ArgumentError for a wrong option, AbortedError when `signal` is aborted.
 */
export function load(source: string | URL, options: LoadOptions = {}): Promise<Model> {
  return loadModel(denoHost, source, options);
}

/**
 * Examines what this machine computes with: every WebGPU kernel against float64, the WASM builds, and what the device `auto`
 * would be. Loads no model; takes up to a minute where the GPU is the CPU.
 *
 * @throws AbortedError when `signal` is aborted; all else is in the report.
 */
export function doctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  return examine(denoHost, options);
}
