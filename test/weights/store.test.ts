import { describe, expect, test } from 'vitest';
import { AbortedError } from '../../packages/core/src/errors/index.ts';
import { assertFinite, readFloats, toFloat32 } from '../../packages/core/src/weights/floats.ts';
import { describeLayer } from '../../packages/core/src/weights/quantization.ts';
import { openWeights } from '../../packages/core/src/weights/store.ts';
import { failure, folder, json, safetensors } from './files.ts';
import type { Reads } from './files.ts';

const counting = (count: number) => Uint8Array.from({ length: count }, (_, i) => i);
const shardA = safetensors({ 'a.weight': { dtype: 'U8', shape: [4, 3], data: counting(12) } });
const shardB = safetensors({ 'b.weight': { dtype: 'F32', shape: [2] }, s: { dtype: 'F32', shape: [] } });
const indexOf = (weight_map: unknown) => json({ metadata: { total_size: 1 }, weight_map });
const sharded = (weight_map: unknown, more: Record<string, Uint8Array> = { 'b.safetensors': shardB }) =>
  folder({ 'model.safetensors.index.json': indexOf(weight_map), 'a.safetensors': shardA, ...more });
const goodMap = { 'a.weight': 'a.safetensors', 'b.weight': 'b.safetensors', s: 'b.safetensors' };

describe('openWeights', () => {
  test('reads rows of the leading dimension, and only their bytes', async () => {
    const reads: Reads[] = [];
    const store = await openWeights(folder({ 'model.safetensors': shardA }, reads));
    reads.length = 0;
    expect([...(await store.read('a.weight', 1, 3))]).toEqual([3, 4, 5, 6, 7, 8]);
    expect(reads).toEqual([{ file: 'model.safetensors', begin: shardA.length - 9, end: shardA.length - 3 }]);
    expect([...(await store.read('a.weight'))]).toEqual([...counting(12)]);
    expect((await store.read('a.weight', 4, 4)).length).toBe(0);
    for (const [from, to] of [
      [-1, 2],
      [0, 5],
      [3, 2],
      [0.5, 1],
    ]) {
      await expect(store.read('a.weight', from, to)).rejects.toBeInstanceOf(RangeError);
    }
  });

  test('joins shards by the index', async () => {
    const store = await openWeights(sharded(goodMap));
    expect([...store.names()]).toEqual(['a.weight', 'b.weight', 's']);
    expect(store.entry('b.weight')).toMatchObject({ rows: 2, rowBytes: 4, size: 8, file: 'b.safetensors' });
    expect(store.entry('s')).toMatchObject({ rows: 1, rowBytes: 4, shape: [] });
    expect(store.has('c')).toBe(false);
    expect((await failure(() => store.entry('c'))).code).toBe('WEIGHTS_MISSING');
    expect((await failure(() => store.read('c'))).code).toBe('WEIGHTS_MISSING');
  });

  test('names the file that is not there', async () => {
    const none = await failure(() => openWeights(folder({})));
    expect(none).toMatchObject({ code: 'MODEL_FILE_MISSING' });
    const shard = await failure(() => openWeights(sharded(goodMap, {})));
    expect(shard).toMatchObject({ code: 'MODEL_FILE_MISSING' });
    expect(shard.message).toContain('b.safetensors');
  });

  const badMaps: [string, unknown][] = [
    ['a tensor that its shard lacks', { ...goodMap, c: 'a.safetensors' }],
    ['no map', undefined],
    ['a list', []],
    ['an empty map', {}],
    ['a number', { a: 5 }],
    ['a path outside the folder', { a: '../a.safetensors' }],
    ['an absolute path', { a: '/a.safetensors' }],
    ['an address', { a: 'https:a.safetensors' }],
    ['another kind of file', { a: 'config.json' }],
  ];
  test.each(badMaps)('an index with %s', async (_, map) => {
    expect((await failure(() => openWeights(sharded(map)))).code).toBe('WEIGHTS_INDEX_INVALID');
  });

  test('an index that is no JSON', async () => {
    const files = folder({ 'model.safetensors.index.json': counting(9) });
    expect((await failure(() => openWeights(files))).code).toBe('WEIGHTS_INDEX_INVALID');
  });

  test('stops at the signal, and closes what it opened when a shard is bad', async () => {
    await expect(openWeights(sharded(goodMap), AbortSignal.abort())).rejects.toBeInstanceOf(AbortedError);
    const closed: string[] = [];
    const files = sharded(goodMap, { 'b.safetensors': counting(9) });
    const open = files.open.bind(files);
    files.open = async (name) => ({ ...(await open(name)), close: async () => void closed.push(name) });
    expect((await failure(() => openWeights(files))).code).toBe('WEIGHTS_HEADER_INVALID');
    expect(closed).toEqual(['model.safetensors.index.json', 'a.safetensors', 'b.safetensors']);
  });
});

describe('describeLayer', () => {
  const scheme = {
    group: 32,
    bits: 4,
    layers: new Map([['head', { group: 64, bits: 8 as const }]]),
  } as const;
  const quantised = {
    'fc.weight': { dtype: 'U32', shape: [6, 8] },
    'fc.scales': { dtype: 'F16', shape: [6, 2] },
    'fc.biases': { dtype: 'F16', shape: [6, 2] },
    'head.weight': { dtype: 'U32', shape: [5, 32] },
    'head.scales': { dtype: 'BF16', shape: [5, 2] },
    'head.biases': { dtype: 'BF16', shape: [5, 2] },
    'conv.weight': { dtype: 'F32', shape: [3, 4, 2, 2] },
    'norm.weight': { dtype: 'F32', shape: [4] },
    'ids.weight': { dtype: 'I64', shape: [4, 4] },
  };
  const open = (drafts: Parameters<typeof safetensors>[0] = quantised) =>
    openWeights(folder({ 'model.safetensors': safetensors(drafts) }));

  test('tells the format, the matrix and the group', async () => {
    const store = await open();
    expect(describeLayer(store, scheme, 'fc', { n: 6, k: 64 })).toEqual({
      format: 'q4',
      n: 6,
      k: 64,
      group: 32,
      weight: 'fc.weight',
      affine: { scales: 'fc.scales', biases: 'fc.biases', dtype: 'f16' },
    });
    expect(describeLayer(store, scheme, 'head')).toMatchObject({ format: 'q8', n: 5, k: 128, group: 64 });
    expect(describeLayer(store, null, 'conv')).toMatchObject({
      format: 'f32',
      n: 3,
      k: 16,
      group: 0,
      affine: null,
    });
  });

  const wrong: [string, Parameters<typeof safetensors>[0], string][] = [
    [
      'scales of another shape',
      { ...quantised, 'fc.scales': { dtype: 'F16', shape: [6, 1] } },
      'WEIGHTS_SHAPE',
    ],
    [
      'biases of another shape',
      { ...quantised, 'fc.biases': { dtype: 'F16', shape: [2, 6] } },
      'WEIGHTS_SHAPE',
    ],
    ['half a group', { ...quantised, 'fc.weight': { dtype: 'U32', shape: [6, 7] } }, 'WEIGHTS_SHAPE'],
    ['three dimensions', { ...quantised, 'fc.weight': { dtype: 'U32', shape: [6, 2, 4] } }, 'WEIGHTS_SHAPE'],
    [
      'codes that are floats',
      { ...quantised, 'fc.weight': { dtype: 'F32', shape: [6, 8] } },
      'WEIGHTS_DTYPE',
    ],
    [
      'scales that are integers',
      { ...quantised, 'fc.scales': { dtype: 'U32', shape: [6, 2] } },
      'WEIGHTS_DTYPE',
    ],
    [
      'biases of another type',
      { ...quantised, 'fc.biases': { dtype: 'BF16', shape: [6, 2] } },
      'WEIGHTS_DTYPE',
    ],
  ];
  test.each(wrong)('%s', async (_, drafts, code) => {
    const store = await open(drafts);
    expect((await failure(() => describeLayer(store, scheme, 'fc'))).code).toBe(code);
  });

  test('names the tensor, the shape wanted and the shape found', async () => {
    const store = await open();
    const error = await failure(() => describeLayer(store, scheme, 'fc', { n: 6, k: 128 }));
    expect(error.code).toBe('WEIGHTS_SHAPE');
    expect(error.message).toMatch(/"fc\.weight".*6 x 128.*6 x 64/);
    expect((await failure(() => describeLayer(store, scheme, 'norm'))).code).toBe('WEIGHTS_SHAPE');
    expect((await failure(() => describeLayer(store, scheme, 'ids'))).code).toBe('WEIGHTS_DTYPE');
    expect((await failure(() => describeLayer(store, scheme, 'none'))).code).toBe('WEIGHTS_MISSING');
    expect((await failure(() => describeLayer(store, null, 'fc'))).code).toBe('CONFIG_INVALID');
    const rest = Object.fromEntries(Object.entries(quantised).filter(([name]) => name !== 'fc.biases'));
    expect((await failure(async () => describeLayer(await open(rest), scheme, 'fc'))).code).toBe(
      'WEIGHTS_MISSING',
    );
  });
});

describe('floats', () => {
  test('16-bit floats become float32 exactly, at odd offsets too', () => {
    const half = [0x0000, 0x8000, 0x0001, 0x03ff, 0x0400, 0x3c00, 0xc000, 0x7bff, 0x3555];
    const wanted = [0, -0, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 1, -2, 65504, 0.333251953125];
    const bytes = new Uint8Array(1 + 2 * half.length);
    half.forEach((bits, i) => bytes.set([bits & 255, bits >> 8], 1 + 2 * i));
    expect([...toFloat32(bytes.subarray(1), 'f16')]).toEqual(wanted);
    expect([...toFloat32(Uint8Array.of(0, 0x80, 0x80, 0x3f, 1, 0), 'bf16')]).toEqual([-0, 1, 2 ** -133]);
    expect([...toFloat32(Uint8Array.of(0, 0, 0x80, 0xbf), 'f32')]).toEqual([-1]);
  });

  test.each([
    ['f32', [0, 0, 0xc0, 0x7f]],
    ['f32', [0, 0, 0x80, 0xff]],
    ['f16', [0, 0x7c]],
    ['f16', [1, 0xfe]],
    ['bf16', [0x80, 0x7f]],
    ['bf16', [0xc1, 0xff]],
  ] as const)('%s %j is not finite', async (format, bits) => {
    const good = format === 'f32' ? [0xff, 0xff, 0x7f, 0x7f] : format === 'f16' ? [0xff, 0x7b] : [0x7f, 0x7f];
    expect(() => assertFinite(Uint8Array.from([...good, ...good]), format, 'x')).not.toThrow();
    const error = await failure(() => assertFinite(Uint8Array.from([...good, ...bits]), format, 'x'));
    expect(error.code).toBe('WEIGHTS_NOT_FINITE');
  });

  test('readFloats checks the shape, the type and the values', async () => {
    const nan = Uint8Array.of(0, 0, 0xc0, 0x7f);
    const store = await openWeights(
      folder({
        'model.safetensors': safetensors({
          good: { dtype: 'BF16', shape: [2], data: Uint8Array.of(0x80, 0x3f, 0, 0xc0) },
          nan: { dtype: 'F32', shape: [1], data: nan },
          codes: { dtype: 'U32', shape: [1] },
        }),
      }),
    );
    expect([...(await readFloats(store, 'good', [2]))]).toEqual([1, -2]);
    expect((await failure(() => readFloats(store, 'good', [1, 2]))).code).toBe('WEIGHTS_SHAPE');
    expect((await failure(() => readFloats(store, 'nan', [1]))).code).toBe('WEIGHTS_NOT_FINITE');
    expect((await failure(() => readFloats(store, 'codes', [1]))).code).toBe('WEIGHTS_DTYPE');
  });
});
