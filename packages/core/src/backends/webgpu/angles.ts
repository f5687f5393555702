/**
 * Cosines and sines of rotary positions, computed in float64: WGSL's own are not exact enough at large angles. The
 * frequencies are f32 values, as models are trained with.
 */
import type { GpuMemory } from './memory.ts';
import type { OpenDevice } from './device.ts';

const FIRST_POSITIONS = 1024;

export class Angles {
  readonly #open: OpenDevice;
  readonly #memory: GpuMemory;
  readonly #tables = new Map<string, { buffer: GPUBuffer; positions: number }>();
  /** Rises when a table was replaced by a longer one. */
  generation = 0;

  constructor(open: OpenDevice, memory: GpuMemory) {
    this.#open = open;
    this.#memory = memory;
  }

  /** Makes the table of positions below `positions`: `[positions, headDim / 2]` pairs of cosine and sine. */
  async reserve(theta: number, headDim: number, positions: number): Promise<void> {
    const key = `${theta} ${headDim}`;
    const old = this.#tables.get(key);
    if (old && old.positions >= positions) return;
    const count = Math.max(positions, FIRST_POSITIONS, 2 * (old?.positions ?? 0));
    const half = headDim / 2;
    const table = new Float32Array(count * headDim);
    for (let i = 0; i < half; i++) {
      const frequency = Math.fround(theta ** ((-2 * i) / headDim));
      for (let position = 0; position < count; position++) {
        table[2 * (position * half + i)] = Math.cos(position * frequency);
        table[2 * (position * half + i) + 1] = Math.sin(position * frequency);
      }
    }
    const buffer = await this.#memory.storage('scratch', table.byteLength, 'rotary angles');
    this.#open.device.queue.writeBuffer(buffer, 0, table);
    if (old) this.#memory.free(old.buffer);
    this.#tables.set(key, { buffer, positions: count });
    this.generation++;
  }

  buffer(theta: number, headDim: number): GPUBuffer {
    const table = this.#tables.get(`${theta} ${headDim}`);
    if (!table) throw new Error(`no angles for ${theta} ${headDim}`);
    return table.buffer;
  }
}
