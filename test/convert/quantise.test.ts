/** convert.wasm: merging, ordering and quantising rows, against plain float64 arithmetic. */
import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Chunk, Storage, StoredChunk } from '../../packages/convert/src/quantise/chunk.ts';
import { createKernels } from '../../packages/convert/src/quantise/kernels.ts';
import { createPool } from '../../packages/convert/src/quantise/pool.ts';
import { addMoments } from '../../packages/convert/src/calibrate.ts';
import { momentsSize } from '../../packages/convert/src/quantise/feedback.ts';
import { Quantiser } from '../../packages/convert/src/quantise/quantiser.ts';
import { toFloat32 } from '../../packages/core/src/weights/floats.ts';
import { normals, toBf16 } from './hand_made.ts';

let quantiser: Quantiser;
beforeAll(async () => {
  const wasm = await readFile(new URL('../../packages/convert/wasm/convert.wasm', import.meta.url));
  quantiser = new Quantiser(await createKernels(new Uint8Array(wasm)));
});

const raw = (values: Float32Array) =>
  ({ bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength), dtype: 'F32' }) as const;

function run(values: Float32Array, cols: number, storage: Storage, more: Partial<Chunk> = {}): StoredChunk {
  const rows = values.length / cols;
  return quantiser.run({
    rows,
    cols,
    cells: 1,
    values: raw(values),
    lora: null,
    rowScale: null,
    moments: null,
    storage,
    ...more,
  });
}

function affine(bits: 4 | 8, group: number, tries: number): Storage & { format: 'affine' } {
  return { format: 'affine', bits, group, tries };
}

/** MLX's reading of codes, scales and biases. */
function dequantise(stored: StoredChunk, { bits, group }: { bits: number; group: number }): Float64Array {
  const words = new Uint32Array(stored.values.buffer);
  const scales = toFloat32(stored.scales, 'f16');
  const biases = toFloat32(stored.biases, 'f16');
  const lanes = 32 / bits;
  return Float64Array.from({ length: words.length * lanes }, (_, i) => {
    const code = (words[Math.floor(i / lanes)] >>> (bits * (i % lanes))) & (2 ** bits - 1);
    const at = Math.floor(i / group);
    return scales[at] * code + biases[at];
  });
}

/** Squared error of plain min/max with scales and biases in f16, in plain JavaScript. */
function minMaxError(values: Float32Array, bits: number, group: number): number {
  let error = 0;
  for (let at = 0; at < values.length; at += group) {
    const some = values.subarray(at, at + group);
    const [min, max] = [Math.min(...some), Math.max(...some)];
    const levels = 2 ** bits - 1;
    const [scale, bias] = [Math.f16round((max - min) / levels), Math.f16round(min)];
    for (const x of some) {
      const code = Math.min(levels, Math.max(0, Math.round((x - bias) / scale)));
      error += (scale * code + bias - x) ** 2;
    }
  }
  return error;
}

describe('quantisation', () => {
  for (const bits of [4, 8] as const) {
    for (const group of [32, 64, 128]) {
      it(`q${bits} in groups of ${group} is nearer to the weights than min/max`, () => {
        const values = normals(16 * 256, bits * group);
        // Outliers are what min/max spends its codes on.
        for (let i = 0; i < values.length; i += 97) values[i] *= 4;
        const storage = affine(bits, group, 6);
        const stored = run(values, 256, storage);
        const back = dequantise(stored, storage);
        const error = back.reduce((sum, x, i) => sum + (x - values[i]) ** 2, 0);
        expect(stored.error).toBeGreaterThan(0.99 * error);
        expect(stored.error).toBeLessThan(1.01 * error);
        const plain = minMaxError(values, bits, group);
        expect(error / plain).toBeLessThan(bits === 4 ? 0.95 : 0.99);
        // What counts as plain min/max here is the same arithmetic.
        const zero = run(values, 256, affine(bits, group, 0)).error;
        expect(Math.abs(zero / plain - 1)).toBeLessThan(0.01);
        // Never worse in any group, as min/max is among the ranges tried.
        for (let at = 0; at < values.length; at += group) {
          const some = values.slice(at, at + group);
          const best = run(some, group, storage).error;
          expect(best).toBeLessThanOrEqual(run(some, group, affine(bits, group, 0)).error * (1 + 1e-5));
        }
      });
    }
  }

  /** Inputs of a product that hang together, as those of trained layers do. */
  function inputs(rows: number, cols: number, seed: number): Float32Array {
    const factors = normals(rows * 8, seed, 1);
    const mix = normals(8 * cols, seed + 1, 1);
    const noise = normals(rows * cols, seed + 2, 1);
    return Float32Array.from({ length: rows * cols }, (_, at) => {
      const [row, col] = [Math.floor(at / cols), at % cols];
      let sum = 0.3 * noise[at];
      for (let f = 0; f < 8; f++) sum += factors[row * 8 + f] * mix[f * cols + col];
      return col % 50 === 0 ? 10 * sum : sum;
    });
  }

  /** Squared differences of `x w^T` from the exact products, in parts of their squares. */
  function outputError(x: Float32Array, w: Float32Array, stored: Float64Array, cols: number): number {
    let [error, norm] = [0, 0];
    for (let row = 0; row < x.length; row += cols) {
      for (let out = 0; out < w.length; out += cols) {
        let [wanted, found] = [0, 0];
        for (let c = 0; c < cols; c++) {
          wanted += x[row + c] * w[out + c];
          found += x[row + c] * stored[out + c];
        }
        error += (found - wanted) ** 2;
        norm += wanted ** 2;
      }
    }
    return error / norm;
  }

  for (const [bits, group, cols] of [
    [4, 32, 160],
    [4, 64, 320],
    [4, 128, 256],
    [8, 64, 192],
  ] as const) {
    it(`q${bits} in groups of ${group}, calibrated, gives nearer products on inputs that it has not seen`, () => {
      const w = normals(18 * cols, 31);
      const x = inputs(300, cols, 41);
      const values = new Float32Array(momentsSize(cols));
      addMoments(values, x.subarray(0, 200 * cols), cols);
      const storage = affine(bits, group, 2);
      const unseen = x.subarray(200 * cols);
      const moments = { key: `q${bits} ${cols}`, values };
      const calibrated = run(w, cols, storage, { moments });
      const back = dequantise(calibrated, storage);
      const nearest = outputError(unseen, w, dequantise(run(w, cols, storage), storage), cols);
      expect(outputError(unseen, w, back, cols) / nearest).toBeLessThan(0.5);
      // What is reported is of the weights, as without calibration.
      const error = back.reduce((sum, value, i) => sum + (value - w[i]) ** 2, 0);
      expect(Math.abs(calibrated.error / error - 1)).toBeLessThan(0.01);
      expect(run(w, cols, storage, { moments })).toEqual(calibrated);
      // Row by row, as the chunks of a large matrix come.
      const last = run(w.slice(17 * cols), cols, storage, { moments });
      expect(Buffer.compare(last.values, calibrated.values.slice(-last.values.length))).toBe(0);
      expect(Buffer.compare(last.scales, calibrated.scales.slice(-last.scales.length))).toBe(0);
    });
  }

  it('is what it is without calibration where inputs say nothing: all zeros, or none that hangs together', () => {
    const w = normals(8 * 192, 51);
    const storage = affine(4, 64, 2);
    const plain = run(w, 192, storage);
    const zeros = { key: 'zeros', values: new Float32Array(momentsSize(192)) };
    const even = new Float32Array(momentsSize(192));
    for (let c = 0; c < 192; c++) even[c < 128 ? c * 129 : 128 * 128 + (c - 128) * 65] = 7;
    for (const moments of [zeros, { key: 'even', values: even }]) {
      const stored = run(w, 192, storage, { moments });
      expect(Buffer.compare(stored.values, plain.values)).toBe(0);
      expect(Buffer.compare(stored.biases, plain.biases)).toBe(0);
    }
  });

  it('calibrated, bears inputs that are one and the same, huge, tiny or dead', () => {
    const w = normals(8 * 128, 61);
    const storage = affine(4, 32, 2);
    for (const [size, name] of [
      [1e9, 'huge'],
      [1e-9, 'tiny'],
    ] as const) {
      const x = Float32Array.from({ length: 10 * 128 }, (_, i) => (i % 128 < 100 ? size : 0));
      const values = new Float32Array(momentsSize(128));
      addMoments(values, x, 128);
      const back = dequantise(run(w, 128, storage, { moments: { key: name, values } }), storage);
      expect(back.every((value, i) => Math.abs(value - w[i]) < 2)).toBe(true);
      expect(outputError(x, w, back, 128)).toBeLessThan(1e-3);
    }
  });

  it('keeps groups of one value, of zeros, of tiny and of huge values', () => {
    const groups = [0, 0.125, -3, 1e-7, 60_000].map((x) => new Float32Array(32).fill(x));
    groups.push(normals(32, 5, 1e-6), normals(32, 6, 10_000));
    for (const values of groups) {
      for (const bits of [4, 8] as const) {
        const storage = affine(bits, 32, 4);
        const stored = run(values, 32, storage);
        expect(stored.overflow).toBe(false);
        const back = dequantise(stored, storage);
        const [min, max] = [Math.min(...values), Math.max(...values)];
        // Half a step, and what f16 itself can't say.
        const allowed =
          (0.75 * (max - min)) / (2 ** bits - 1) + Math.max(Math.abs(min), max) * 2 ** -10 + 2 ** -24;
        back.forEach((x, i) => expect(Math.abs(x - values[i])).toBeLessThanOrEqual(allowed));
      }
    }
  });

  it('says when a value is not finite or past f16', () => {
    const values = normals(64, 7);
    values[40] = NaN;
    expect(run(values, 64, affine(4, 64, 4)).notFinite).toBe(true);
    values[40] = 1e6;
    const { overflow, notFinite } = run(values, 64, { format: 'f16' });
    expect([overflow, notFinite]).toEqual([true, false]);
    expect(run(values, 64, { format: 'f32' }).overflow).toBe(false);
    expect(run(new Float32Array(64).fill(-1e6), 64, affine(8, 64, 4)).overflow).toBe(true);
    const f16 = { bytes: Uint8Array.of(0, 0x7c), dtype: 'F16' } as const;
    expect(run(new Float32Array(1), 1, { format: 'f32' }, { values: f16 }).notFinite).toBe(true);
  });
});

describe('threads', () => {
  const entry = new URL('../../packages/convert/src/worker.ts', import.meta.url);
  const chunk = (rows: number): Chunk => ({
    rows,
    cols: 64,
    cells: 1,
    values: raw(normals(Math.abs(rows) * 64, 3)),
    lora: null,
    rowScale: null,
    moments: null,
    storage: affine(4, 64, 2),
  });

  it('give what one quantiser gives, in any order', async () => {
    const pool = createPool(2, entry);
    const counts = [5, 1, 9, 3];
    const stored = await Promise.all(counts.map((rows) => pool.run(chunk(rows))));
    stored.forEach(({ values }, i) => {
      expect(Buffer.compare(values, quantiser.run(chunk(counts[i])).values)).toBe(0);
    });
    await pool.close();
  });

  it('that die say so, for what they had begun and for what comes after', async () => {
    const pool = createPool(1, entry);
    const [broken, waiting] = [pool.run(chunk(-1)), pool.run(chunk(2))];
    await expect(broken).rejects.toMatchObject({ code: 'WORKER_FAILED' });
    await expect(waiting).rejects.toMatchObject({ code: 'WORKER_FAILED' });
    await expect(pool.run(chunk(2))).rejects.toMatchObject({ code: 'WORKER_FAILED' });
    await pool.close();
  });
});

describe('rows', () => {
  it('reads f16 and bf16 exactly, every value of them', () => {
    const all = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    for (const [dtype, format, infinity] of [
      ['F16', 'f16', 0x7c00],
      ['BF16', 'bf16', 0x7f80],
    ] as const) {
      const finite = all.filter((bits) => (bits & infinity) !== infinity);
      const bytes = new Uint8Array(finite.buffer);
      const stored = run(
        new Float32Array(finite.length),
        finite.length,
        { format: 'f32' },
        { values: { bytes, dtype } },
      );
      expect(stored.notFinite).toBe(false);
      expect(Buffer.compare(stored.values, new Uint8Array(toFloat32(bytes, format).buffer))).toBe(0);
      if (dtype === 'F16') {
        const again = run(
          new Float32Array(finite.length),
          finite.length,
          { format: 'f16' },
          { values: { bytes, dtype } },
        );
        expect(Buffer.compare(again.values, bytes)).toBe(0);
      }
    }
  });

  it('merges an adapter and scales rows', () => {
    const [rows, rank, cols] = [13, 5, 27];
    const w = normals(rows * cols, 1);
    const [a, b] = [normals(rank * cols, 2), normals(rows * rank, 3)];
    const scales = normals(rows, 4, 1);
    const half = toBf16(a);
    const lora = { rank, scale: 2, key: 'x', a: { bytes: half.bytes, dtype: 'BF16' } as const, b: raw(b) };
    const stored = run(w, cols, { format: 'f32' }, { lora, rowScale: raw(scales) });
    const found = toFloat32(stored.values, 'f32');
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < cols; j++) {
        let update = 0;
        for (let r = 0; r < rank; r++) update += b[i * rank + r] * half.exact[r * cols + j];
        const exact = scales[i] * (w[i * cols + j] + 2 * update);
        expect(Math.abs(found[i * cols + j] - exact)).toBeLessThan(1e-6);
      }
    }
  });

  it('puts the cells of a convolution first when it quantises it, and only then', () => {
    const [channels, cells, rows] = [32, 9, 3];
    const cols = channels * cells;
    const values = normals(rows * cols, 9);
    const storage = affine(8, 32, 2);
    const back = dequantise(run(values, cols, storage, { cells }), storage);
    for (let row = 0; row < rows; row++) {
      for (let c = 0; c < channels; c++) {
        for (let p = 0; p < cells; p++) {
          const [wanted, at] = [values[row * cols + c * cells + p], row * cols + p * channels + c];
          expect(Math.abs(back[at] - wanted)).toBeLessThan(0.002);
        }
      }
    }
    const kept = toFloat32(run(values, cols, { format: 'f16' }, { cells }).values, 'f16');
    kept.forEach((x, i) => expect(x).toBe(Math.f16round(values[i])));
  });

  it('gives the same for one large chunk as for its rows one by one', () => {
    const [rows, cols] = [300, 1024];
    const values = normals(rows * cols, 11);
    const storage = affine(4, 64, 4);
    const whole = run(values, cols, storage);
    for (const row of [0, 255, 256, 299]) {
      const one = run(values.slice(row * cols, (row + 1) * cols), cols, storage);
      const bytes = cols / 2;
      expect(Buffer.compare(one.values, whole.values.subarray(row * bytes, (row + 1) * bytes))).toBe(0);
    }
  });
});
