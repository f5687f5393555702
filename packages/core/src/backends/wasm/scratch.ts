import { ALIGN, align, Allocator } from './allocator.ts';

/** A piece of scratch memory, and the steps between which its contents matter. */
export interface Buffer {
  readonly bytes: number;
  first: number;
  last: number;
}

/** Gives buffers offsets so that those alive at the same step do not overlap. */
export function layOut(buffers: readonly Buffer[]): { offsets: number[]; bytes: number } {
  const offsets = new Array<number>(buffers.length).fill(0);
  const order = buffers.map((_, i) => i).sort((a, b) => buffers[a].first - buffers[b].first);
  const space = new Allocator(0);
  let alive: number[] = [];
  let bytes = ALIGN;
  for (const i of order) {
    const buffer = buffers[i];
    // An output that nothing writes is still read.
    if (buffer.first === Infinity && buffer.last === -1) continue;
    alive = alive.filter((other) => {
      if (buffers[other].last >= buffer.first) return true;
      space.free(offsets[other]);
      return false;
    });
    offsets[i] = space.alloc(buffer.bytes);
    bytes = Math.max(bytes, offsets[i] + align(buffer.bytes));
    alive.push(i);
  }
  return { offsets, bytes };
}
