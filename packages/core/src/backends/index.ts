import type { Backend, Choice, Warning } from '../backend/index.ts';
import { DeviceError, UnsupportedError } from '../errors/index.ts';
import type { Host } from '../host.ts';
import type { Device, Precision } from './devices.ts';
import { createWasm, type WasmOptions } from './wasm/index.ts';
import { createWebGpu, type WebGpuOptions } from './webgpu/index.ts';

export type { Device, Precision } from './devices.ts';

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
 * CPU; without WebGPU and without threads it takes WebGL where that is measured to be faster.
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
        return startBehind(host, options, `webgpu was refused: ${error.message}`);
      }
    case 'wasm':
      return startWasm(host, options, 'asked for');
    case 'webgl':
      return startWebGl(host, options, 'asked for');
    default:
      return device satisfies never;
  }
}

/** What `auto` takes behind WebGPU. Threads are faster than what WebGL is known to be: it is looked at without them alone. */
async function startBehind(host: Host, options: BackendOptions, refusal: string): Promise<Started> {
  const fallback = (name: string): Warning[] => [
    { code: 'BACKEND_FALLBACK', message: `Runs on ${name}: ${refusal}` },
  ];
  if (host.sharedMemory || !host.openGpuJs) {
    return { ...(await startWasm(host, options, refusal)), warnings: fallback('WASM') };
  }
  const { compare } = await import('./webgl/open.ts');
  const { wins, reason } = await compare(host, () => createWasm(host, { variant: options.variant }));
  if (wins) {
    return { ...(await startWebGl(host, options, `${refusal}; ${reason}`)), warnings: fallback('WebGL') };
  }
  const started = await startWasm(host, options, refusal);
  const webgl = { what: 'webgl', chosen: 'not used', reason };
  return { ...started, refusals: [...started.refusals, webgl], warnings: fallback('WASM') };
}

async function startWebGl(host: Host, options: BackendOptions, reason: string): Promise<Started> {
  const [{ openProducts }, { WebGlBackend }] = await Promise.all([
    import('./webgl/open.ts'),
    import('./webgl/index.ts'),
  ]);
  const products = await openProducts(host);
  try {
    const backend = new WebGlBackend(await createWasm(host, options), products);
    return { backend, refusals: [{ what: 'device', chosen: 'webgl', reason }], warnings: [] };
  } catch (error) {
    await products.dispose();
    throw error;
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
