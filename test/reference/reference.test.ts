/** The reference against values worked out elsewhere: it must not share a mistake with what it judges. */
import { describe, expect, it } from 'vitest';
import { Recorder, attentionCached, kvWrite, linear, rotary } from '../../packages/core/src/ops/index.ts';
import { Random } from '../support/random.ts';
import { storeWeight, toBf16, toF16 } from '../support/weights.ts';
import { activate, erf } from '../../packages/core/src/reference/activation.ts';
import { createReference } from '../../packages/core/src/reference/backend.ts';
import { layerNorm } from '../../packages/core/src/reference/layer_norm.ts';
import { matrix, zeros } from '../../packages/core/src/reference/matrix.ts';
import { bf16ToNumber, f16ToNumber } from '../../packages/core/src/reference/numbers.ts';
import { pool } from '../../packages/core/src/reference/pool.ts';
import { quantizeQ8, roundHalfToEven } from '../../packages/core/src/reference/quantize_q8.ts';
import { rotary as rotate } from '../../packages/core/src/reference/rotary.ts';
import { readWeight } from '../../packages/core/src/reference/weights.ts';

describe('scalar functions', () => {
  // Abramowitz & Stegun table 7.1, and 25-digit values of a computer algebra system.
  it.each([
    [0.1, 0.1124629160182848984],
    [0.5, 0.5204998778130465377],
    [1, 0.8427007929497148693],
    [2, 0.9953222650189527342],
    [3.5, 0.9999992569016276586],
    [-1, -0.8427007929497148693],
  ])('erf(%f)', (x, want) => {
    expect(Math.abs(erf(x) - want)).toBeLessThan(1e-15);
  });

  // x * Phi(x), Phi(1) = 0.8413447460685429.
  it('activations at 1', () => {
    expect(activate('gelu', 1)).toBeCloseTo(0.8413447460685429, 15);
    expect(activate('silu', 1)).toBeCloseTo(0.7310585786300049, 15);
    expect(activate('quick_gelu', 1)).toBeCloseTo(0.8457957659328212, 14);
    expect(activate('gelu_tanh', 1)).toBeCloseTo(0.8411919906082768, 14);
    expect(activate('none', -3)).toBe(-3);
    expect([-3, 0, 2.5].map((x) => activate('relu', x))).toEqual([0, 0, 2.5]);
  });

  it.each([
    [0.5, 0],
    [1.5, 2],
    [-0.5, 0],
    [-1.5, -2],
    [-2.5, -2],
    [2.5001, 3],
    [-2.4, -2],
  ])('rounds %f half to even', (x, want) => {
    expect(roundHalfToEven(x)).toBeCloseTo(want, 0);
  });

  it('reads and writes every half', () => {
    const finite = Array.from({ length: 0x7c00 }, (_, i) => i).flatMap((bits) => [bits, bits | 0x8000]);
    expect(finite.filter((bits) => toF16(f16ToNumber(bits)) !== bits)).toEqual([]);
    expect(f16ToNumber(0x3555)).toBe(0.333251953125);
    expect(bf16ToNumber(toBf16(Math.fround(1 / 3)))).toBe(0.333984375);
    // Half way between 1 and the next bfloat16: to even.
    expect(bf16ToNumber(toBf16(1 + 2 ** -8))).toBe(1);
  });
});

describe('ops by hand', () => {
  it('layer_norm of 1, 2, 3, 4', () => {
    const y = zeros(1, 4);
    layerNorm(
      matrix(Float64Array.of(1, 2, 3, 4), 1, 4),
      Float64Array.of(1, 1, 1, 2),
      new Float64Array(4),
      0,
      y,
    );
    const unit = 1 / Math.sqrt(1.25);
    expect([...y.data]).toEqual([-1.5 * unit, -0.5 * unit, 0.5 * unit, 3 * unit]);
  });

  // PyTorch: AdaptiveAvgPool2d(2) of arange(9).view(3, 3).
  it('pools 3 x 3 to 2 x 2 with overlapping windows', () => {
    const y = zeros(1, 4);
    pool(
      matrix(
        Float64Array.from({ length: 9 }, (_, i) => i),
        9,
        1,
      ),
      3,
      2,
      y,
    );
    expect([...y.data]).toEqual([2, 3, 5, 6]);
  });

  it('rotates a pair by its position', () => {
    const x = matrix(Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0), 2, 4);
    rotate(x, 1, 4, 10000, 3);
    expect([...x.data]).toEqual([Math.cos(3), 0, Math.sin(3), 0, Math.cos(4), 0, Math.sin(4), 0]);
  });

  it('rounds activations by groups of 32', () => {
    const x = zeros(1, 64);
    x.data[0] = 127;
    x.data[1] = 2.5;
    x.data[40] = -1;
    x.data[41] = 0.5;
    const rounded = quantizeQ8(x);
    expect(rounded.data[0]).toBe(127);
    expect(rounded.data[1]).toBe(2);
    expect(rounded.data[40]).toBeCloseTo(-1, 6);
    // 0.5 of a scale of 1/127 is code 63.5, moved to 63 or 64 by the scale's own rounding.
    expect(Math.abs(rounded.data[41] - 0.5)).toBeLessThan(0.5 / 127 + 1e-9);
    expect(rounded.data[2]).toBe(0);
  });
});

describe('weights', () => {
  const stored = (format: 'q4' | 'q8', group: number) => {
    const random = new Random(1);
    const ref = new Recorder('w').matrix('w', 3, 128);
    const values = random.normals(3 * 128);
    return { values, weight: storeWeight(ref, values, { format, group }) };
  };

  it.each([
    ['q4', 32, 0.25],
    ['q4', 128, 0.4],
    ['q8', 64, 0.02],
  ] as const)('%s group %i comes back within %f', async (format, group, bound) => {
    const { values, weight } = stored(format, group);
    const { values: back } = await readWeight(weight);
    values.forEach((value, i) => expect(Math.abs(back.data[i] - value)).toBeLessThan(bound));
  });

  it('evaluates scale * code + bias, lowest bits first', async () => {
    const ref = new Recorder('w').matrix('w', 1, 32);
    const weight = {
      ref,
      format: 'q4' as const,
      dtype: 'F32' as const,
      group: 32,
      readRows: async () => ({
        values: new Uint8Array(Uint32Array.of(0x87654321, 0, 0, 0xf).buffer),
        scales: new Uint8Array(Float32Array.of(-0.5).buffer),
        biases: new Uint8Array(Float32Array.of(3).buffer),
      }),
    };
    const { values } = await readWeight(weight);
    expect([...values.data.subarray(0, 9)]).toEqual([2.5, 2, 1.5, 1, 0.5, 0, -0.5, -1, 3]);
    expect(values.data[24]).toBe(-4.5);
  });

  it('reorders convolutions to [out, kh, kw, in]', async () => {
    const ref = new Recorder('w').matrix('w', 1, 8, { kernel: 2 });
    const weight = storeWeight(ref, Float32Array.of(0, 1, 2, 3, 10, 11, 12, 13), { format: 'f32' });
    const { values } = await readWeight(weight);
    expect([...values.data]).toEqual([0, 10, 1, 11, 2, 12, 3, 13]);
  });
});

describe('programs', () => {
  it('decodes token by token as it reads a whole prompt, and restores a prefix', async () => {
    const random = new Random(2);
    const record = (rows: number) => {
      const r = new Recorder(`rows ${rows}`);
      const x = r.input('x', rows, 16);
      const y = r.output('y', rows, 16);
      const q = linear(r, x, r.matrix('q', 16, 16));
      const k = linear(r, x, r.matrix('k', 8, 16));
      const v = linear(r, x, r.matrix('v', 8, 16));
      rotary(r, q, 4, 4, 10000);
      rotary(r, k, 2, 4, 10000);
      const cache = r.cache({ layer: 0, kvHeads: 2, headDim: 4, context: 8 });
      kvWrite(r, k, v, cache);
      linear(r, attentionCached(r, q, cache, 4, 'a'), r.matrix('o', 16, 16), { residual: x, y });
      return r.finish();
    };
    const backend = createReference({ activationRounding: false });
    const whole = record(5);
    for (const ref of whole.weights)
      await backend.loadWeight(storeWeight(ref, random.normals(ref.n * ref.k), { format: 'f32' }));
    await backend.createCache(whole.caches);
    const x = random.normals(5 * 16);
    const run = (rows: number, pos: number) =>
      backend
        .compile(record(rows))
        .then((e) => backend.runExact(e, { inputs: { x: x.slice(pos * 16, (pos + rows) * 16) }, pos }));
    const want = (await run(5, 0)).get('y')!;
    const snapshot = await backend.saveCache(3);
    for (let pos = 0; pos < 5; pos++) {
      if (pos === 3) await backend.restoreCache(snapshot);
      const row = (await run(1, pos)).get('y')!;
      row.forEach((value, i) => expect(value).toBeCloseTo(want[pos * 16 + i], 12));
    }
  });

  it('refuses what is not loaded or not given', async () => {
    const r = new Recorder('refused');
    linear(r, r.input('x', 1, 4), r.matrix('w', 4, 4), { y: r.output('y', 1, 4) });
    const backend = createReference({ activationRounding: false });
    await expect(backend.compile(r.finish())).rejects.toThrow('weight w is not loaded');
    await backend.loadWeight(storeWeight(r.finish().weights[0], new Float32Array(16), { format: 'f32' }));
    const executable = await backend.compile(r.finish());
    await expect(backend.run(executable, { inputs: { x: new Float32Array(3) } })).rejects.toThrow('input x');
  });
});
