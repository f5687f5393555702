import { DeviceError } from '../../errors/index.ts';
import { Allocator } from './allocator.ts';

const PAGE = 65536;
/** The most that a 32-bit WASM memory can have. */
const MAX_PAGES = 65536;
export const MAX_BYTES = MAX_PAGES * PAGE;

/** A thread's private memory: an allocator over a growing `WebAssembly.Memory`. */
export class PrivateMemory {
  readonly memory: WebAssembly.Memory;
  #allocator: Allocator | null = null;

  constructor() {
    // The module's own data and stack need the first pages; the kernels say where the heap starts.
    this.memory = new WebAssembly.Memory({ initial: 32, maximum: MAX_PAGES });
  }

  /** The heap starts at `base`. */
  start(base: number): void {
    this.#allocator = new Allocator(base);
  }

  get buffer(): ArrayBuffer {
    return this.memory.buffer;
  }

  get used(): number {
    return this.#heap.used;
  }

  get total(): number {
    return this.memory.buffer.byteLength;
  }

  /** @throws {DeviceError} `OUT_OF_MEMORY`. */
  alloc(bytes: number): number {
    const heap = this.#heap;
    const at = heap.alloc(bytes);
    try {
      this.#reach(heap.top);
    } catch (cause) {
      heap.free(at);
      throw new DeviceError({
        code: 'OUT_OF_MEMORY',
        message: `No room for ${bytes} bytes: ${heap.used} are in use by this thread.`,
        fix: 'Use more threads (each has up to 4 GB of its own), a smaller model, or free memory elsewhere.',
        cause,
      });
    }
    return at;
  }

  /**
   * Grows the memory at once by what will be asked for: step by step, engines that move a memory to grow it would need
   * twice the room for a moment, and a lack of it would show after gigabytes are read.
   *
   * @throws {DeviceError} `OUT_OF_MEMORY`.
   */
  reserve(bytes: number): void {
    try {
      this.#reach(this.#heap.top + bytes);
    } catch (cause) {
      throw new DeviceError({
        code: 'OUT_OF_MEMORY',
        message: `A thread of this model needs ${megabytes(bytes)} MB, which are not there.`,
        fix: 'Free memory elsewhere, or load the model with a smaller context, or a smaller model.',
        cause,
      });
    }
  }

  free(at: number): void {
    this.#heap.free(at);
  }

  get #heap(): Allocator {
    if (!this.#allocator) throw new Error('memory is not started');
    return this.#allocator;
  }

  #reach(top: number): void {
    const missing = top - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
  }
}

export function megabytes(bytes: number): string {
  return String(Math.ceil(bytes / 2 ** 20));
}
