/** GPU buffers by what they are for, counted: WebGPU itself does not say how much memory is in use. */
import type { BackendMemory } from '../../backend/index.ts';
import { DeviceError } from '../../errors/index.ts';
import { BufferUsage } from './constants.ts';
import type { OpenDevice } from './device.ts';

export type Purpose = 'weights' | 'cache' | 'scratch';

/** Makes and frees buffers of one device. */
export class GpuMemory {
  readonly #open: OpenDevice;
  readonly #bytes: Record<Purpose, number> = { weights: 0, cache: 0, scratch: 0 };
  readonly #buffers = new Map<GPUBuffer, { purpose: Purpose; bytes: number }>();

  constructor(open: OpenDevice) {
    this.#open = open;
  }

  /**
   * A storage buffer of at least `bytes`, zeroed.
   *
   * @throws {DeviceError} `OUT_OF_MEMORY`; the device stays usable.
   */
  async storage(purpose: Purpose, bytes: number, label: string): Promise<GPUBuffer> {
    const { STORAGE, COPY_DST, COPY_SRC } = BufferUsage;
    return this.#create(purpose, bytes, STORAGE | COPY_DST | COPY_SRC, label);
  }

  async uniform(bytes: number, label: string): Promise<GPUBuffer> {
    return this.#create('scratch', bytes, BufferUsage.UNIFORM | BufferUsage.COPY_DST, label);
  }

  async readback(bytes: number, label: string): Promise<GPUBuffer> {
    return this.#create('scratch', bytes, BufferUsage.MAP_READ | BufferUsage.COPY_DST, label);
  }

  free(buffer: GPUBuffer): void {
    const known = this.#buffers.get(buffer);
    if (!known) return;
    this.#bytes[known.purpose] -= known.bytes;
    this.#buffers.delete(buffer);
    buffer.destroy();
  }

  usage(): BackendMemory {
    const { weights, cache, scratch } = this.#bytes;
    return { weights, cache, scratch, total: weights + cache + scratch };
  }

  /** Frees everything; the device itself is not touched. */
  destroy(): void {
    for (const buffer of [...this.#buffers.keys()]) this.free(buffer);
  }

  async #create(purpose: Purpose, wanted: number, usage: number, label: string): Promise<GPUBuffer> {
    const bytes = Math.max(16, Math.ceil(wanted / 16) * 16);
    const { device } = this.#open;
    this.#open.assertAlive();
    device.pushErrorScope('out-of-memory');
    device.pushErrorScope('validation');
    let buffer: GPUBuffer | undefined;
    let refused: string | undefined;
    try {
      buffer = device.createBuffer({ label, size: bytes, usage });
    } catch (error) {
      refused = error instanceof Error ? error.message : String(error);
    }
    const [invalid, full] = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
    this.#open.assertAlive();
    if (buffer && !full && !invalid) {
      this.#buffers.set(buffer, { purpose, bytes });
      this.#bytes[purpose] += bytes;
      return buffer;
    }
    buffer?.destroy();
    const { total } = this.usage();
    throw new DeviceError({
      code: 'OUT_OF_MEMORY',
      message: `The GPU has no room for ${megabytes(bytes)} of ${label}; ${megabytes(total)} are in use by this model.`,
      fix: 'Choose a smaller context or model, close other pages that use the GPU, or use device "wasm".',
      cause: full ?? invalid ?? refused,
    });
  }
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MB`;
}
