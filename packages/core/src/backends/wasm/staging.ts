import { align } from './allocator.ts';
import type { PrivateMemory } from './memory.ts';

/** Where stored bytes lie while they are repacked: one block, used again and again, for new pages cost more than the copy. */
export class Staging {
  readonly #memory: PrivateMemory;
  #block = { at: 0, bytes: 0 };

  constructor(memory: PrivateMemory) {
    this.#memory = memory;
  }

  /** Copies the parts in; their addresses hold until the next call. */
  put(...parts: readonly Uint8Array[]): number[] {
    const bytes = parts.reduce((sum, part) => sum + align(part.length), 0);
    if (bytes > this.#block.bytes) {
      this.end();
      this.#block = { at: this.#memory.alloc(bytes), bytes };
    }
    let { at } = this.#block;
    return parts.map((part) => {
      const here = at;
      new Uint8Array(this.#memory.buffer, here, part.length).set(part);
      at += align(part.length);
      return here;
    });
  }

  /** Gives the block back. */
  end(): void {
    if (this.#block.bytes > 0) this.#memory.free(this.#block.at);
    this.#block = { at: 0, bytes: 0 };
  }
}

/**
 * Gives a buffer's memory back at once, where the engine can: the garbage collector takes its time, while gigabytes go
 * through here.
 */
export function free({ buffer, byteLength }: Uint8Array): void {
  if (byteLength === buffer.byteLength) (buffer as Shrinkable).transfer?.(0);
}

/** Of ES2024: a transfer to a shorter buffer frees the rest. */
interface Shrinkable {
  readonly transfer?: (length: number) => ArrayBuffer;
}
