/**
 * Weights on the device. Matrices lie in a few large buffers ("arenas"), rows of a matrix beyond the largest binding are
 * cut into tiles; matrices that one dispatch reads lie in the same arena. Vectors share one buffer. See
 * `wgsl/shared/weights.wgsl` for the layout inside an arena.
 */
import type { StoredWeight } from '../../backend/index.ts';
import { toHwi } from '../../backend/stored.ts';
import { throwIfAborted } from '../../errors/index.ts';
import type { WeightRef } from '../../ops/index.ts';
import { assertFinite, toFloat32, type FloatFormat } from '../../weights/floats.ts';
import { packRows, packScales, rowBytes, scaleBytes, unitOf } from './pack.ts';
import type { GpuMemory } from './memory.ts';
import type { OpenDevice } from './device.ts';

/** Rows `[first, first + rows)` of a matrix in one arena. */
export interface Tile {
  readonly first: number;
  readonly rows: number;
  readonly arena: Arena;
  /** Bytes from the arena's start, multiples of 16. */
  readonly codes: number;
  readonly scales: number;
}

export interface Arena {
  bytes: number;
  buffer: GPUBuffer | null;
}

export interface Matrix {
  readonly ref: WeightRef;
  readonly format: StoredWeight['format'];
  readonly group: number;
  /** Scales and biases are stored in units of this power of two; 1 for floats. */
  readonly unit: number;
  readonly tiles: readonly Tile[];
}

type Shape = Pick<StoredWeight, 'ref' | 'format' | 'group'>;

/** Bytes of a weight in flight at a time. */
const CHUNK_BYTES = 8 << 20;
/** What `writeBuffer` has been given is kept until a submit: so much at most. */
const FLUSH_BYTES = 32 << 20;
const FIRST_VECTOR_BYTES = 1 << 16;

export class Weights {
  readonly #open: OpenDevice;
  readonly #memory: GpuMemory;
  /** Most bytes of one binding. */
  readonly capacity: number;
  readonly #matrices = new Map<string, Matrix>();
  readonly #vectors = new Map<string, { at: number; count: number }>();
  #vectorBuffer: GPUBuffer | null = null;
  #vectorBytes = 0;
  #vectorEnd = 0;
  #unflushed = 0;
  /** Rises when {@link vectorBuffer} is another buffer than before. */
  generation = 0;

  constructor(open: OpenDevice, memory: GpuMemory, maxBytes?: number) {
    this.#open = open;
    this.#memory = memory;
    const { maxStorageBufferBindingSize, maxBufferSize } = open.device.limits;
    const most = Math.min(maxStorageBufferBindingSize, maxBufferSize, maxBytes ?? Infinity);
    this.capacity = Math.floor(most / 256) * 256;
  }

  /** The buffer of all vectors. */
  async vectorBuffer(): Promise<GPUBuffer> {
    if (!this.#vectorBuffer) await this.#growVectors(FIRST_VECTOR_BYTES);
    if (!this.#vectorBuffer) throw new Error('no buffer of vectors');
    return this.#vectorBuffer;
  }

  matrix(ref: WeightRef): Matrix {
    const matrix = this.#matrices.get(ref.name);
    if (!matrix) throw new Error(`the weight ${ref.name} is not loaded`);
    return matrix;
  }

  /** Where a vector starts in {@link vectorBuffer}, in elements. */
  vector(ref: WeightRef): number {
    const vector = this.#vectors.get(ref.name);
    if (!vector) throw new Error(`the weight ${ref.name} is not loaded`);
    return vector.at;
  }

  /** Places matrices in as few arenas as hold them, the members of a group in one where it fits. */
  place(weights: readonly Shape[], groups: readonly (readonly string[])[]): void {
    const shapes = new Map<string, Shape>();
    for (const weight of weights) {
      if (weight.ref.kind === 'matrix' && !this.#placed(weight)) shapes.set(weight.ref.name, weight);
    }
    const unitOf = new Map<string, readonly string[]>();
    for (const group of groups) {
      const members = group.filter((name) => shapes.has(name) && !unitOf.has(name));
      for (const name of members) unitOf.set(name, members);
    }
    let arena: Arena = { bytes: 0, buffer: null };
    const put = (unit: readonly Shape[]): void => {
      const bytes = unit.reduce((sum, shape) => sum + bytesOf(shape, shape.ref.n), 0);
      if (bytes > this.capacity && unit.length > 1) {
        for (const shape of unit) put([shape]);
        return;
      }
      if (arena.bytes + bytes > this.capacity) arena = { bytes: 0, buffer: null };
      for (const shape of unit) {
        const most = Math.floor(this.capacity / bytesOf(shape, 1));
        const count = Math.ceil(shape.ref.n / most);
        const rows = Math.ceil(shape.ref.n / count);
        const tiles: Tile[] = [];
        for (let first = 0; first < shape.ref.n; first += rows) {
          const taken = Math.min(rows, shape.ref.n - first);
          if (arena.bytes + bytesOf(shape, taken) > this.capacity) arena = { bytes: 0, buffer: null };
          const codes = arena.bytes;
          const scales = codes + taken * rowBytes(shape.format, shape.ref.k);
          arena.bytes = codes + bytesOf(shape, taken);
          tiles.push({ first, rows: taken, arena, codes, scales });
        }
        const { ref, format, group } = shape;
        this.#matrices.set(ref.name, { ref, format, group, unit: 1, tiles });
      }
    };
    const done = new Set<string>();
    for (const [name, shape] of shapes) {
      if (done.has(name)) continue;
      const unit = unitOf.get(name) ?? [name];
      put(unit.map((member) => shapes.get(member) ?? shape));
      for (const member of unit) done.add(member);
    }
  }

  /** Uploads one weight, in pieces. @throws {LoadError} `WEIGHTS_NOT_FINITE`; {@link DeviceError} `OUT_OF_MEMORY`. */
  async load(weight: StoredWeight, signal?: AbortSignal): Promise<void> {
    if (weight.ref.kind === 'vector') return this.#loadVector(weight, signal);
    this.place([weight], []);
    const { ref, format, dtype } = weight;
    const { tiles } = this.matrix(ref);
    const quantised = format === 'q4' || format === 'q8';
    const scales = quantised && dtype !== 'F16' ? await weight.readScales?.(0, ref.n, signal) : undefined;
    const unit = scales ? unitOf(scales, dtype.toLowerCase() as FloatFormat) : 1;
    this.#matrices.set(ref.name, { ...this.matrix(ref), unit });
    const step = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes(format, ref.k)));
    for (const tile of tiles) {
      const { arena } = tile;
      arena.buffer ??= await this.#memory.storage('weights', arena.bytes, 'weights');
      for (let row = 0; row < tile.rows; row += step) {
        const count = Math.min(step, tile.rows - row);
        throwIfAborted(signal);
        await this.#loadRows(weight, tile, arena.buffer, row, count, signal);
      }
    }
  }

  async #loadRows(
    weight: StoredWeight,
    tile: Tile,
    buffer: GPUBuffer,
    row: number,
    count: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const { ref, format, dtype, group } = weight;
    const float = dtype.toLowerCase() as FloatFormat;
    const begin = tile.first + row;
    const { values, scales, biases } = await weight.readRows(begin, begin + count, signal);
    if (scales && biases) {
      assertFinite(scales, float, ref.name);
      assertFinite(biases, float, ref.name);
      await this.#write(buffer, tile.codes + row * rowBytes(format, ref.k), values);
      const packed = packScales(scales, biases, float, this.matrix(ref).unit, ref.name);
      await this.#write(buffer, tile.scales + row * scaleBytes(format, ref.k, group), packed);
      return;
    }
    assertFinite(values, float, ref.name);
    const ordered = ref.order === 'oihw' ? toHwi(values, count, ref.kernel, dtype) : values;
    const packed = packRows(ordered, float, format === 'f32' ? 'f32' : 'f16', ref.k, ref.name);
    await this.#write(buffer, tile.codes + row * rowBytes(format, ref.k), packed);
  }

  async #loadVector(weight: StoredWeight, signal?: AbortSignal): Promise<void> {
    const { ref, dtype } = weight;
    const float = dtype.toLowerCase() as FloatFormat;
    const { values } = await weight.readRows(0, ref.n, signal);
    assertFinite(values, float, ref.name);
    const floats = toFloat32(values, float);
    let place = this.#vectors.get(ref.name);
    if (place?.count !== floats.length) {
      place = { at: this.#vectorEnd, count: floats.length };
      const end = place.at + Math.ceil(floats.length / 4) * 4;
      if (end * 4 > this.#vectorBytes) await this.#growVectors(end * 4);
      this.#vectorEnd = end;
      this.#vectors.set(ref.name, place);
    }
    await this.#write(await this.vectorBuffer(), place.at * 4, new Uint8Array(floats.buffer));
  }

  async #growVectors(bytes: number): Promise<void> {
    const old = this.#vectorBuffer;
    const size = Math.max(bytes, 2 * this.#vectorBytes);
    const buffer = await this.#memory.storage('weights', size, 'vectors');
    if (old) {
      const encoder = this.#open.device.createCommandEncoder();
      encoder.copyBufferToBuffer(old, 0, buffer, 0, this.#vectorBytes);
      this.#open.device.queue.submit([encoder.finish()]);
      this.#memory.free(old);
    }
    this.#vectorBuffer = buffer;
    this.#vectorBytes = size;
    this.generation++;
  }

  async #write(buffer: GPUBuffer, offset: number, bytes: Uint8Array): Promise<void> {
    const { queue } = this.#open.device;
    this.#open.assertAlive();
    // writeBuffer takes multiples of four.
    const whole = bytes.length & ~3;
    if (whole > 0) queue.writeBuffer(buffer, offset, bytes, 0, whole);
    if (whole < bytes.length) {
      const last = new Uint8Array(4);
      last.set(bytes.subarray(whole));
      queue.writeBuffer(buffer, offset + whole, last);
    }
    this.#unflushed += bytes.length;
    if (this.#unflushed >= FLUSH_BYTES) await this.flush();
  }

  /** Lets go of what `writeBuffer` staged. */
  async flush(): Promise<void> {
    this.#unflushed = 0;
    this.#open.device.queue.submit([]);
    await this.#open.idle();
  }

  /** Whether a weight of this name lies ready, in this very shape. */
  #placed({ ref, format, group }: Shape): boolean {
    const known = this.#matrices.get(ref.name);
    return (
      known?.format === format && known.group === group && known.ref.n === ref.n && known.ref.k === ref.k
    );
  }
}

function bytesOf({ ref, format, group }: Shape, rows: number): number {
  const bytes = rows * (rowBytes(format, ref.k) + scaleBytes(format, ref.k, group));
  return Math.ceil(bytes / 16) * 16;
}
