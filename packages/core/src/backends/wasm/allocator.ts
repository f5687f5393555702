/** Blocks are aligned to a cache line: kernels may assume it. */
export const ALIGN = 64;

export function align(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN;
}

/** First-fit allocation of an address range, with coalescing. Knows addresses only, no memory. */
export class Allocator {
  /** Free gaps below `#top`, by address. */
  #gaps: { at: number; bytes: number }[] = [];
  readonly #base: number;
  #top: number;
  /** Blocks in use, by address. */
  readonly #used = new Map<number, number>();

  constructor(base: number) {
    this.#base = align(base);
    this.#top = this.#base;
  }

  /** One past the highest address ever given out and not yet returned. */
  get top(): number {
    return this.#top;
  }

  /** Bytes in use. */
  get used(): number {
    let sum = 0;
    for (const bytes of this.#used.values()) sum += bytes;
    return sum;
  }

  alloc(bytes: number): number {
    const size = align(Math.max(bytes, 1));
    const i = this.#gaps.findIndex((gap) => gap.bytes >= size);
    let at: number;
    if (i >= 0) {
      const gap = this.#gaps[i];
      at = gap.at;
      gap.at += size;
      gap.bytes -= size;
      if (gap.bytes === 0) this.#gaps.splice(i, 1);
    } else {
      // Grow from a gap that ends at the top, so that a growing block does not leave a hole behind.
      const last = this.#gaps.at(-1);
      if (last && last.at + last.bytes === this.#top) {
        this.#gaps.pop();
        this.#top = last.at;
      }
      at = this.#top;
      this.#top += size;
    }
    this.#used.set(at, size);
    return at;
  }

  free(at: number): void {
    const bytes = this.#used.get(at);
    if (bytes === undefined) throw new Error(`no block at ${at}`);
    this.#used.delete(at);
    let i = this.#gaps.findIndex((gap) => gap.at > at);
    if (i < 0) i = this.#gaps.length;
    this.#gaps.splice(i, 0, { at, bytes });
    this.#merge(i);
    if (i > 0) this.#merge(i - 1);
  }

  #merge(i: number): void {
    const gap = this.#gaps[i];
    const next = this.#gaps[i + 1];
    if (next && gap.at + gap.bytes === next.at) {
      gap.bytes += next.bytes;
      this.#gaps.splice(i + 1, 1);
    }
  }
}
