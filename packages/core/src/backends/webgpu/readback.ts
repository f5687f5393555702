/** Reading results back: outputs of a run, and single tokens that are read while later steps run. */
import type { Tensor } from '../../ops/index.ts';
import { MAP_READ } from './constants.ts';
import type { OpenDevice } from './device.ts';
import type { GpuMemory } from './memory.ts';

interface Source {
  readonly tensor: Tensor;
  readonly buffer: GPUBuffer;
}

/** The outputs of one program. */
export class Readback {
  readonly #open: OpenDevice;
  readonly #memory: GpuMemory;
  readonly #sources: readonly Source[];
  readonly #staging: GPUBuffer | null;
  /** The last reading, which an abort may have left under way. */
  #pending: Promise<unknown> = Promise.resolve();

  private constructor(
    open: OpenDevice,
    memory: GpuMemory,
    sources: readonly Source[],
    staging: GPUBuffer | null,
  ) {
    this.#open = open;
    this.#memory = memory;
    this.#sources = sources;
    this.#staging = staging;
  }

  static async make(open: OpenDevice, memory: GpuMemory, sources: readonly Source[]): Promise<Readback> {
    const bytes = sources.reduce((sum, { tensor }) => sum + 4 * tensor.rows * tensor.cols, 0);
    const staging = bytes > 0 ? await memory.readback(bytes, 'outputs') : null;
    return new Readback(open, memory, sources, staging);
  }

  /** To be awaited before {@link encode}: the staging buffer may still be mapped. */
  async ready(): Promise<void> {
    await this.#pending.catch(() => undefined);
  }

  /** Copies the outputs to where they can be read. */
  encode(encoder: GPUCommandEncoder): void {
    let at = 0;
    for (const { tensor, buffer } of this.#sources) {
      const bytes = 4 * tensor.rows * tensor.cols;
      if (this.#staging) encoder.copyBufferToBuffer(buffer, 4 * tensor.offset, this.#staging, at, bytes);
      at += bytes;
    }
  }

  /** The outputs, once the submitted work is done; that is waited for without outputs too, for times and aborts to be true. */
  read(): Promise<readonly Float32Array[]> {
    const staging = this.#staging;
    if (!staging) return this.#open.idle().then(() => []);
    const reading = (async () => {
      await staging.mapAsync(MAP_READ);
      const all = new Float32Array(staging.getMappedRange().slice(0));
      staging.unmap();
      let at = 0;
      return this.#sources.map(({ tensor }) => all.subarray(at, (at += tensor.rows * tensor.cols)));
    })();
    this.#pending = reading;
    return this.#open.unlessLost(reading);
  }

  release(): void {
    if (this.#staging) this.#memory.free(this.#staging);
  }
}

/** Staging buffers of one token each, used in turn. */
export class TokenRing {
  readonly #open: OpenDevice;
  readonly #memory: GpuMemory;
  readonly #free: GPUBuffer[] = [];

  constructor(open: OpenDevice, memory: GpuMemory) {
    this.#open = open;
    this.#memory = memory;
  }

  /** Makes sure that `count` can be taken without waiting. */
  async reserve(count: number): Promise<void> {
    while (this.#free.length < count) this.#free.push(await this.#memory.readback(4, 'a token'));
  }

  take(): GPUBuffer {
    const buffer = this.#free.pop();
    if (!buffer) throw new Error('the ring of tokens is empty');
    return buffer;
  }

  /** The token that was copied to `buffer`; afterwards the buffer can be taken again. */
  async read(buffer: GPUBuffer): Promise<number> {
    await this.#open.unlessLost(buffer.mapAsync(MAP_READ));
    const [id] = new Uint32Array(buffer.getMappedRange());
    buffer.unmap();
    this.#free.push(buffer);
    return id;
  }
}
