/** Torch files: zip entries, pickled state dicts, views of storages. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openTorch } from '../../packages/convert/src/sources/torch.ts';
import type { PublishedTensor } from '../../packages/convert/src/sources/tensors.ts';
import { Random } from '../support/random.ts';
import {
  memoryEntry,
  Pickler,
  torchBytes,
  torchEntries,
  zipBytes,
  type TorchTensor,
} from '../support/torch_writer.ts';
import { failure, source, type Reads } from '../weights/files.ts';

const file = 'pytorch_model.bin';

function open(bytes: Uint8Array, reads: Reads[] = []): Promise<Map<string, PublishedTensor>> {
  return openTorch(source(bytes, file, reads), file);
}

/** 0, 1, 2 ... in f32. */
function counting(count: number): Uint8Array {
  return new Uint8Array(Float32Array.from({ length: count }, (_, i) => i).buffer);
}

function floats(bytes: Uint8Array): number[] {
  return [...new Float32Array(bytes.slice().buffer)];
}

async function all(tensor: PublishedTensor | undefined): Promise<number[]> {
  if (!tensor) throw new Error('no such tensor');
  return floats(await tensor.read(0, tensor.shape[0] ?? 1));
}

const twelve: TorchTensor = { name: 'twelve', dtype: 'F32', shape: [3, 4], chunks: () => [counting(12)] };

describe('state dicts', () => {
  test('as torch.save writes them: names, types, shapes, values', async () => {
    const published = new URL('../golden/published/lora-cropping/', import.meta.url);
    const tensors = await open(readFileSync(new URL('adapter/non_lora_trainables.bin', published)));
    const conv = tensors.get('base_model.model.model.conv_6.weight');
    expect(conv).toMatchObject({ dtype: 'F16', shape: [32, 32, 6, 6], bytes: 32 * 32 * 36 * 2, file });
    expect([...tensors.keys()].every((name) => name.startsWith('base_model.model.model.'))).toBe(true);
  });

  test('rows on demand, in one read each', async () => {
    const reads: Reads[] = [];
    const tensor = (await open(await torchBytes([twelve]), reads)).get('twelve');
    reads.length = 0;
    expect(floats((await tensor?.read(1, 3)) ?? new Uint8Array())).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    expect(reads.map(({ begin, end }) => end - begin).filter((bytes) => bytes !== 30)).toEqual([32]);
    expect((await tensor?.read(2, 2))?.length).toBe(0);
  });

  test('tied, transposed, sliced and expanded views of one storage', async () => {
    const view = (name: string, shape: number[], stride: number[], offset = 0): TorchTensor => ({
      ...{ name, dtype: 'F32', shape, stride, offset, tiedTo: 'twelve' },
    });
    const views = [
      view('tied', [3, 4], [4, 1]),
      view('transposed', [4, 3], [1, 4]),
      view('columns', [3, 2], [4, 1], 1),
      view('expanded', [2, 3], [0, 1], 5),
      view('backwards', [2, 2, 3], [1, 6, 2]),
      view('scalar', [], [], 7),
      view('one', [1, 1, 2], [99, 55, 1], 3),
    ];
    const tensors = await open(await torchBytes([twelve, ...views]));
    expect(await all(tensors.get('tied'))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(await all(tensors.get('transposed'))).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    expect(await all(tensors.get('columns'))).toEqual([1, 2, 5, 6, 9, 10]);
    expect(await all(tensors.get('expanded'))).toEqual([5, 6, 7, 5, 6, 7]);
    expect(await all(tensors.get('backwards'))).toEqual([0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]);
    expect(await all(tensors.get('scalar'))).toEqual([7]);
    expect(await all(tensors.get('one'))).toEqual([3, 4]);
    const rows = await tensors.get('transposed')?.read(1, 3);
    expect(floats(rows ?? new Uint8Array())).toEqual([1, 5, 9, 2, 6, 10]);
  });

  test('random strided views equal the element rule', async () => {
    const random = new Random(20_281);
    for (let round = 0; round < 200; round++) {
      const shape = Array.from({ length: 1 + random.below(4) }, () => 1 + random.below(4));
      const stride = shape.map(() => random.below(7));
      const offset = random.below(5);
      const length = offset + 1 + shape.reduce((sum, size, i) => sum + (size - 1) * stride[i], 0);
      const tensor: TorchTensor = {
        ...{ name: 'x', dtype: 'F32', shape, stride, offset, storageLength: length },
        chunks: () => [counting(length)],
      };
      let expected = [offset];
      shape.forEach((size, i) => {
        expected = expected.flatMap((at) => Array.from({ length: size }, (_, n) => at + n * stride[i]));
      });
      const found = await all((await open(await torchBytes([tensor]))).get('x'));
      expect(found, `seed ${random.seed}: [${shape.join()}] by [${stride.join()}]`).toEqual(expected);
    }
  });

  test('a transposed table larger than what is read at once', async () => {
    const [rows, cols] = [2600, 2100];
    const tensor: TorchTensor = {
      ...{ name: 'x', dtype: 'F32', shape: [cols, rows], stride: [1, cols] },
      chunks: () => [counting(rows * cols)],
    };
    const reads: Reads[] = [];
    const found = (await open(await torchBytes([tensor]), reads)).get('x');
    reads.length = 0;
    const values = new Float32Array(((await found?.read(0, cols)) ?? new Uint8Array()).slice().buffer);
    expect(values).toHaveLength(rows * cols);
    let wrong = 0;
    values.forEach((value, i) => {
      if (value !== (i % rows) * cols + Math.floor(i / rows)) wrong++;
    });
    expect(wrong).toBe(0);
    const longest = Math.max(...reads.map(({ begin, end }) => end - begin));
    expect(longest).toBeLessThanOrEqual(2 ** 24);
  });

  test('F64 becomes F32; BF16 and F16 stay; integers keep their type', async () => {
    const doubles = new Uint8Array(Float64Array.of(0.1, -2, 1e300).buffer);
    const tensors = await open(
      await torchBytes([
        { name: 'double', dtype: 'F64', shape: [3], chunks: () => [doubles] },
        { name: 'brain', dtype: 'BF16', shape: [2], chunks: () => [Uint8Array.of(0x80, 0x3f, 0, 0x40)] },
        { name: 'half', dtype: 'F16', shape: [1], chunks: () => [Uint8Array.of(0, 0x3c)] },
        { name: 'long', dtype: 'I64', shape: [1], chunks: () => [new Uint8Array(8)] },
      ]),
    );
    expect(tensors.get('double')).toMatchObject({ dtype: 'F32', bytes: 12 });
    expect(await all(tensors.get('double'))).toEqual([Math.fround(0.1), -2, Infinity]);
    expect(tensors.get('brain')).toMatchObject({ dtype: 'BF16', bytes: 4 });
    expect(tensors.get('half')).toMatchObject({ dtype: 'F16', bytes: 2 });
    expect(tensors.get('long')).toMatchObject({ dtype: 'I64', bytes: 8 });
  });

  test('a plain dict, parameters, other values, and the metadata of a state dict', async () => {
    const [, , ...rest] = torchEntries([twelve]);
    const storage = { key: '0', length: 12, dtype: 'F32' } as const;
    const empty = (pickle: Pickler) => pickle.global('collections', 'OrderedDict').raw(0x29, 0x52);
    // {'parameter': _rebuild_parameter(tensor, True, OrderedDict()), 'step': 3, 'note': 'x', 'list': [1.5, None]}
    const pickle = new Pickler().raw(0x7d, 0x28).text('parameter');
    pickle.global('torch._utils', '_rebuild_parameter').raw(0x28).tensor(twelve, storage);
    empty(pickle.raw(0x88)).raw(0x74, 0x52);
    pickle.text('step').integer(3).text('note').text('x').text('list').raw(0x5d, 0x28, 0x47);
    pickle.raw(0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0x4e, 0x65, 0x75);
    // BUILD with {'_metadata': OrderedDict()}
    empty(pickle.raw(0x7d).text('_metadata')).raw(0x73, 0x62, 0x2e);
    const tensors = await open(await zipBytes([memoryEntry('archive/data.pkl', pickle.bytes()), ...rest]));
    expect([...tensors.keys()]).toEqual(['parameter']);
    expect((await all(tensors.get('parameter'))).at(-1)).toBe(11);
  });

  test('an archive of any name, with a comment of any kind behind no entry', async () => {
    const entries = torchEntries([twelve]).map((entry) => ({
      ...entry,
      name: entry.name.replace('archive/', 'pytorch_model-00001-of-00002/'),
    }));
    expect([...(await open(await zipBytes(entries))).keys()]).toEqual(['twelve']);
  });
});

describe('what is no such file is refused by name', () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ['an empty file', new Uint8Array(0), /not a zip file/],
    ['a bare pickle', Uint8Array.of(0x80, 2, 0x7d, 0x2e), /before 1\.6/],
    ['text', new TextEncoder().encode('version https://git-lfs.github.com/spec/v1'), /not a zip file/],
    ['a zip file cut short', Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0), /not a sound zip file/],
  ];
  test.each(cases)('%s', async (_, bytes, message) => {
    const error = await failure(() => open(bytes));
    expect(error.code).toBe('CHECKPOINT_INVALID');
    expect(error.message).toMatch(message);
    expect(error.message).toContain(file);
  });

  test('big-endian values', async () => {
    const entries = torchEntries([twelve]).map((entry) =>
      entry.name.endsWith('byteorder') ? memoryEntry(entry.name, new TextEncoder().encode('big')) : entry,
    );
    const error = await failure(async () => open(await zipBytes(entries)));
    expect(error).toMatchObject({ code: 'CHECKPOINT_INVALID' });
    expect(error.message).toMatch(/byte order is "big"/);
  });

  test('no pickle, and two', async () => {
    const [pickle, ...rest] = torchEntries([twelve]);
    for (const entries of [rest, [pickle, { ...pickle, name: 'other/data.pkl' }, ...rest]]) {
      const error = await failure(async () => open(await zipBytes(entries)));
      expect(error.message).toMatch(/no one data\.pkl/);
    }
  });
});
