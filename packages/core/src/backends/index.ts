import type { Backend, Choice, Warning } from '../backend/index.ts';
import { UnsupportedError } from '../errors/index.ts';
import type { Host } from '../host.ts';
import { createWasm, type WasmOptions } from './wasm/index.ts';

/** Where a model may run. `auto` takes the best that works. */
export type Device = 'auto' | 'wasm' | 'webgpu';

export const DEVICES: readonly Device[] = ['auto', 'wasm', 'webgpu'];

/** Arithmetic of the WebGPU kernels. `auto` takes f16 where the adapter has it and its self-test passes. */
export type Precision = 'auto' | 'f32' | 'f16';

export const PRECISIONS: readonly Precision[] = ['auto', 'f32', 'f16'];

export interface BackendOptions extends WasmOptions {
  /** A device of the caller's, for WebGPU; it is never destroyed. */
  gpu?: GPUDevice;
  precision?: Precision;
}

const NO_WEBGPU = 'this release has no WebGPU backend';

/**
 * Starts the backend for `device`, and says why the others were refused.
 *
 * @throws {UnsupportedError} `BACKEND_UNAVAILABLE`.
 */
export async function createBackend(
  host: Host,
  device: Device,
  options: BackendOptions,
): Promise<{ backend: Backend; refusals: readonly Choice[]; warnings: readonly Warning[] }> {
  switch (device) {
    case 'webgpu':
      throw new UnsupportedError({
        code: 'BACKEND_UNAVAILABLE',
        message: `The device "webgpu" can't be used: ${NO_WEBGPU}.`,
        fix: 'Use device "auto" or "wasm".',
      });
    case 'auto': {
      const refusals = [{ what: 'device', chosen: 'wasm', reason: `webgpu was refused: ${NO_WEBGPU}` }];
      return { backend: await createWasm(host, options), refusals, warnings: [] };
    }
    case 'wasm':
      return {
        backend: await createWasm(host, options),
        refusals: [{ what: 'device', chosen: 'wasm', reason: 'asked for' }],
        warnings: [],
      };
    default:
      return device satisfies never;
  }
}
