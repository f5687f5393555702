import type { FloatDType } from '../contract.ts';
import { valueBytes, type Chunk, type LoraRows, type RawFloats, type StoredChunk } from './chunk.ts';
import { feedbackFactors, type Moments } from './feedback.ts';
import { dtypes, type Kernels } from './kernels.ts';

const PANEL = 8;
/** Floats worked on at once: they and their results stay within the second or third cache. */
const BLOCK_FLOATS = 1 << 18;
const PAGE = 65_536;
const STATS_BYTES = 24;

const widths: Readonly<Record<FloatDType, number>> = { F32: 4, F16: 2, BF16: 2 };

/** Turns chunks of published tensors into their stored form, in the memory of one `convert.wasm`. */
export class Quantiser {
  readonly #kernels: Kernels;
  /** Whose A lies prepared at the start of the memory, and where the rest begins. */
  #prepared: { key: string; end: number } | null = null;
  #top: number;
  /** Of the moments that came last: the chunks of a tensor share them. */
  #factors: { key: string; values: Float32Array } | null = null;

  constructor(kernels: Kernels) {
    this.#kernels = kernels;
    this.#top = kernels.heap;
  }

  /** Merges, scales, orders and stores the rows of a chunk, all in float32. */
  run(chunk: Chunk): StoredChunk {
    const { rows, cols, cells, storage, lora } = chunk;
    const kernels = this.#kernels;
    const stride = Math.ceil(cols / PANEL) * PANEL;
    const block = Math.max(1, Math.min(rows, Math.floor(BLOCK_FLOATS / stride)));
    const affine = storage.format === 'affine';
    const ordered = affine && cells > 1;
    const groups = affine ? cols / storage.group : 0;

    this.#top = this.#prepareLora(lora, cols);
    let badValues = 0;
    const stats = this.#take(STATS_BYTES);
    const source = this.#take(4 * block * cols);
    const scratch = this.#take(4 * block * stride);
    const turned = ordered ? this.#take(4 * cols) : 0;
    const values = this.#take(4 * block * cols);
    const scales = this.#take(2 * block * groups);
    const biases = this.#take(2 * block * groups);
    const b = lora ? this.#take(4 * block * lora.rank) : 0;
    const factors = affine && chunk.moments ? this.#writeFactors(chunk.moments, cols) : 0;
    const products = lora ? this.#take(4 * 4 * lora.rank) : 0;
    new Uint8Array(kernels.memory.buffer, stats, STATS_BYTES).fill(0);

    const floats = (raw: RawFloats, from: number, count: number, to: number): void => {
      const width = widths[raw.dtype];
      this.#write(source, raw.bytes.subarray(width * from, width * (from + count)));
      badValues += kernels.toF32(source, to, count, dtypes[raw.dtype]);
    };
    const rowScale = chunk.rowScale ? this.#floats(chunk.rowScale, rows) : null;
    const stored = {
      values: new Uint8Array(valueBytes(storage, rows * cols)),
      scales: new Uint8Array(2 * rows * groups),
      biases: new Uint8Array(2 * rows * groups),
    };

    for (let row = 0; row < rows; row += block) {
      const some = Math.min(block, rows - row);
      if (chunk.values && stride === cols) floats(chunk.values, row * cols, some * cols, scratch);
      else if (chunk.values) {
        for (let i = 0; i < some; i++) floats(chunk.values, (row + i) * cols, cols, scratch + 4 * i * stride);
      } else new Uint8Array(kernels.memory.buffer, scratch, 4 * some * stride).fill(0);

      if (lora) {
        floats(lora.b, row * lora.rank, some * lora.rank, b);
        const panels = kernels.heap;
        kernels.mergeLora(scratch, b, panels, products, lora.scale, some, cols, stride, lora.rank);
      }
      for (let i = 0; i < some; i++) {
        const at = scratch + 4 * i * stride;
        if (rowScale) kernels.scaleRow(at, cols, rowScale[row + i]);
        if (ordered) {
          kernels.cellsFirst(at, turned, cols / cells, cells);
          new Uint8Array(kernels.memory.buffer).copyWithin(at, turned, turned + 4 * cols);
        }
      }

      const put = (to: Uint8Array, address: number, bytes: number): void =>
        to.set(new Uint8Array(kernels.memory.buffer, address, bytes), (to.length / rows) * row);
      if (affine) {
        const { group, bits, tries } = storage;
        const to = [values, scales, biases, stats] as const;
        if (factors)
          kernels.quantiseCalibrated(scratch, some, cols, stride, group, bits, tries, factors, ...to);
        else kernels.quantise(scratch, some, cols, stride, group, bits, tries, ...to);
        put(stored.scales, scales, 2 * some * groups);
        put(stored.biases, biases, 2 * some * groups);
        put(stored.values, values, valueBytes(storage, some * cols));
        continue;
      }
      for (let i = 0; i < some; i++) {
        const [from, to] = [scratch + 4 * i * stride, values + 4 * i * cols];
        const half = values + 2 * i * cols;
        // Vectors stay float32: they are exact there, whatever the source's type.
        if (storage.format === 'f32') this.#write(to, new Uint8Array(kernels.memory.buffer, from, 4 * cols));
        else kernels.toF16(from, half, cols, stats);
      }
      put(stored.values, values, valueBytes(storage, some * cols));
    }

    const view = new DataView(kernels.memory.buffer, stats, STATS_BYTES);
    const norm = view.getFloat64(8, true);
    return {
      ...stored,
      error: view.getFloat64(0, true),
      norm,
      notFinite: badValues > 0 || !Number.isFinite(norm),
      overflow: view.getUint32(16, true) > 0,
    };
  }

  /** Converts a short list of floats; what it takes of the memory is not kept. */
  #floats(raw: RawFloats, count: number): Float32Array {
    const top = this.#top;
    const source = this.#take(raw.bytes.length);
    const result = this.#take(4 * count);
    this.#write(source, raw.bytes);
    this.#kernels.toF32(source, result, count, dtypes[raw.dtype]);
    this.#top = top;
    return new Float32Array(this.#kernels.memory.buffer, result, count).slice();
  }

  #writeFactors({ key, values }: Moments, cols: number): number {
    if (this.#factors?.key !== key) this.#factors = { key, values: feedbackFactors(values, cols) };
    const bytes = new Uint8Array(this.#factors.values.buffer);
    const address = this.#take(bytes.length);
    this.#write(address, bytes);
    return address;
  }

  /** A in panels at the start of the memory; returns the address behind them. */
  #prepareLora(lora: LoraRows | null, cols: number): number {
    const { heap } = this.#kernels;
    if (!lora) {
      this.#prepared = null;
      return heap;
    }
    if (this.#prepared?.key === lora.key) return this.#prepared.end;
    this.#top = heap;
    const panels = this.#take(4 * lora.rank * Math.ceil(cols / PANEL) * PANEL);
    const end = this.#top;
    const source = this.#take(lora.a.bytes.length);
    const a = this.#take(4 * lora.rank * cols);
    this.#write(source, lora.a.bytes);
    this.#kernels.toF32(source, a, lora.rank * cols, dtypes[lora.a.dtype]);
    this.#kernels.packA(a, panels, lora.rank, cols);
    this.#prepared = { key: lora.key, end };
    return end;
  }

  #take(bytes: number): number {
    const { memory } = this.#kernels;
    const address = this.#top;
    this.#top += Math.ceil(bytes / 16) * 16;
    const missing = this.#top - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
    return address;
  }

  #write(address: number, bytes: Uint8Array): void {
    new Uint8Array(this.#kernels.memory.buffer, address, bytes.length).set(bytes);
  }
}
