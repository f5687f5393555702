/** Scratch tensors share buffers: two whose lives do not overlap may lie in the same one. */
import type { Storage } from '../../ops/index.ts';
import type { Dispatch } from './dispatch.ts';
import type { GpuMemory } from './memory.ts';

/** For each scratch storage the slot that it lives in, and the bytes that each slot needs. */
export interface Assignment {
  readonly slots: ReadonlyMap<number, number>;
  readonly bytes: readonly number[];
}

/** Gives slots to the scratch storages of a list, largest first. */
export function assign(storages: readonly Storage[], dispatches: readonly Dispatch[]): Assignment {
  const lives = new Map<number, { first: number; last: number }>();
  dispatches.forEach(({ bindings }, at) => {
    for (const ref of bindings) {
      if (ref.kind !== 'storage' || storages[ref.index].kind !== 'scratch') continue;
      const life = lives.get(ref.index);
      if (life) life.last = at;
      else lives.set(ref.index, { first: at, last: at });
    }
  });
  const order = [...lives.keys()].sort((a, b) => storages[b].size - storages[a].size);
  const taken: { first: number; last: number }[][] = [];
  const bytes: number[] = [];
  const slots = new Map<number, number>();
  for (const index of order) {
    const life = lives.get(index) ?? { first: 0, last: 0 };
    let slot = taken.findIndex((lived) => lived.every((l) => l.last < life.first || l.first > life.last));
    if (slot < 0) slot = taken.push([]) - 1;
    taken[slot].push(life);
    bytes[slot] = Math.max(bytes[slot] ?? 0, storages[index].size * 4);
    slots.set(index, slot);
  }
  return { slots, bytes };
}

/** The buffers behind the slots of all programs, which run one at a time. */
export class ScratchPool {
  readonly #memory: GpuMemory;
  readonly #buffers: { buffer: GPUBuffer; bytes: number }[] = [];
  /** Rises when a buffer was replaced by a larger one: bind groups must be made again. */
  generation = 0;

  constructor(memory: GpuMemory) {
    this.#memory = memory;
  }

  async reserve(bytes: readonly number[]): Promise<void> {
    for (const [slot, size] of bytes.entries()) {
      const old = this.#buffers.at(slot);
      if (old && old.bytes >= size) continue;
      const buffer = await this.#memory.storage('scratch', size, 'scratch');
      if (old) this.#memory.free(old.buffer);
      this.#buffers[slot] = { buffer, bytes: size };
      this.generation++;
    }
  }

  buffer(slot: number): GPUBuffer {
    return this.#buffers[slot].buffer;
  }

  buffers(): GPUBuffer[] {
    return this.#buffers.map(({ buffer }) => buffer);
  }
}
