/** LLaVA-SP in Node. */
import {
  doctor as examine,
  loadModel,
  type DoctorOptions,
  type DoctorReport,
  type LoadOptions,
  type Model,
} from '@llava-sp/core';
import { nodeHost } from './host.ts';

export * from '@llava-sp/core';
export { nodeHost } from './host.ts';

/**
 * Loads a model from a folder (a path or file: URL) and makes it ready to answer.
 *
 * @throws LoadError when a file is missing or damaged, UnsupportedError for an unknown architecture or a device that is
 *   not there, ArgumentError for a wrong option, AbortedError when `signal` is aborted.
 */
export function load(source: string | URL, options: LoadOptions = {}): Promise<Model> {
  return loadModel(nodeHost, source, options);
}

/**
 * Examines what this machine computes with: every WebGPU kernel against float64, the WASM builds, and what the device `auto`
 * would be. Loads no model; takes up to a minute where the GPU is the CPU.
 *
 * @throws AbortedError when `signal` is aborted; all else is in the report.
 */
export function doctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  return examine(nodeHost, options);
}
