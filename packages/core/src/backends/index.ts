import type { Backend, Choice, Warning } from '../backend/index.ts';
import { DeviceError, UnsupportedError } from '../errors/index.ts';
import type { Host } from '../host.ts';
import { createWasm, type WasmOptions } from './wasm/index.ts';
import { createWebGpu, type WebGpuOptions } from './webgpu/index.ts';

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

/** A backend, why it was taken, and what the caller should hear about. */
export interface Started {
  readonly backend: Backend;
  readonly refusals: readonly Choice[];
  readonly warnings: readonly Warning[];
}

/**
 * Starts the backend for `device`. `auto` prefers a hardware adapter to WASM, and WASM to an adapter that computes on the
 * CPU.
 *
 * @throws {UnsupportedError} `BACKEND_UNAVAILABLE`; {@link DeviceError} `SELF_TEST_FAILED`, `OUT_OF_MEMORY`.
 */
export async function createBackend(host: Host, device: Device, options: BackendOptions): Promise<Started> {
  switch (device) {
    case 'webgpu':
      return startWebGpu(host, options, 'asked for');
    case 'auto':
      if (options.gpu) return startWebGpu(host, options, "the caller's GPUDevice was given");
      try {
        return await startWebGpu(host, { ...options, hardwareOnly: true }, 'a hardware adapter is there');
      } catch (error) {
        if (!(error instanceof UnsupportedError || error instanceof DeviceError)) throw error;
        const reason = `webgpu was refused: ${error.message}`;
        const message = `Runs on WASM: ${reason}`;
        const started = await startWasm(host, options, reason);
        return { ...started, warnings: [{ code: 'BACKEND_FALLBACK', message }] };
      }
    case 'wasm':
      return startWasm(host, options, 'asked for');
    default:
      return device satisfies never;
  }
}

async function startWasm(host: Host, options: BackendOptions, reason: string): Promise<Started> {
  const backend = await createWasm(host, options);
  return { backend, refusals: [{ what: 'device', chosen: 'wasm', reason }], warnings: [] };
}

async function startWebGpu(host: Host, options: WebGpuOptions, reason: string): Promise<Started> {
  const backend = await createWebGpu(host, options);
  const refusals = [{ what: 'device', chosen: 'webgpu', reason }];
  const warnings = backend.warnings.map((message): Warning => ({ code: 'BACKEND_FALLBACK', message }));
  return { backend, refusals, warnings };
}
