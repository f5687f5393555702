import { describe, expect, test } from 'vitest';
import { parseHeader, readHeader } from '../../packages/core/src/weights/safetensors.ts';
import { concat, failure, file, safetensors, source } from './files.ts';
import type { Reads } from './files.ts';

const parse = (bytes: Uint8Array) => parseHeader(bytes, bytes.length);
const entry = (dtype: string, shape: number[], begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const bytes = (count: number) => new Uint8Array(count);

describe('a valid header', () => {
  test('gives tensors with offsets in the file, and the metadata', () => {
    const whole = safetensors(
      {
        a: { dtype: 'F32', shape: [2, 3] },
        b: { dtype: 'BF16', shape: [] },
        c: { dtype: 'U32', shape: [0, 5] },
      },
      { format: 'pt' },
    );
    const { tensors, metadata } = parse(whole);
    const data = whole.length - 26;
    expect([...tensors.keys()]).toEqual(['a', 'b', 'c']);
    expect(tensors.get('a')).toEqual({ dtype: 'F32', shape: [2, 3], begin: data, end: data + 24 });
    expect(tensors.get('b')).toEqual({ dtype: 'BF16', shape: [], begin: data + 24, end: data + 26 });
    expect(tensors.get('c')).toEqual({ dtype: 'U32', shape: [0, 5], begin: data + 26, end: data + 26 });
    expect(metadata).toEqual({ format: 'pt' });
  });

  test('may be padded with spaces and name a tensor with quotes, braces and colons', () => {
    const name = 'a":{"\\}]';
    const { tensors } = parse(file(JSON.stringify({ [name]: entry('U8', [4], 0, 4) }) + '   ', bytes(4)));
    expect([...tensors.keys()]).toEqual([name]);
  });

  test('is read alone: one range when it is short, two when it is long', async () => {
    const reads: Reads[] = [];
    const short = safetensors({ a: { dtype: 'F32', shape: [100_000] } });
    expect((await readHeader(source(short, 'short', reads))).tensors.size).toBe(1);
    expect(reads).toEqual([{ file: 'short', begin: 0, end: 65_536 }]);

    reads.length = 0;
    const drafts = Object.fromEntries(
      Array.from({ length: 2000 }, (_, i) => [`layer.${i}`, { dtype: 'U8', shape: [64] }]),
    );
    const long = safetensors(drafts);
    expect((await readHeader(source(long, 'long', reads))).tensors.size).toBe(2000);
    expect(reads.map(({ begin }) => begin)).toEqual([0, 0]);
    expect(reads[1].end).toBe(long.length - 2000 * 64);
  });
});

describe('a header that lies', () => {
  const header = (value: unknown, ...data: Uint8Array[]) => file(JSON.stringify(value), ...data);
  const length = (value: bigint) => {
    const field = new Uint8Array(8);
    new DataView(field.buffer).setBigUint64(0, value, true);
    return concat(field, bytes(100));
  };
  const cases: [string, Uint8Array, RegExp][] = [
    ['an empty file', bytes(0), /too few/],
    ['seven bytes', bytes(7), /too few/],
    ['a length past the end', length(101n), /claims 101 bytes, the file has 100/],
    ['a length of 2^63', length(2n ** 63n), /the limit is/],
    ['a length of 100,000,001', length(100_000_001n), /the limit is/],
    ['an empty header', length(0n), /not JSON/],
    ['no JSON', file('{"a":', bytes(4)), /not JSON/],
    ['broken UTF-8', concat(file(' ').subarray(0, 8), Uint8Array.of(0xff)), /not JSON/],
    ['a list', header([]), /not a JSON object/],
    ['null', header(null), /not a JSON object/],
    ['metadata that is no object', header({ __metadata__: 'x' }), /"__metadata__"/],
    ['metadata that is no string', header({ __metadata__: { a: 1 } }), /"__metadata__"/],
    ['a tensor that is no object', header({ a: 5 }), /"a" is not an object/],
    ['no shape', header({ a: { dtype: 'F32', data_offsets: [0, 4] } }, bytes(4)), /shape/],
    ['a negative size', header({ a: entry('F32', [-1, -1], 0, 4) }, bytes(4)), /shape/],
    ['a fractional size', header({ a: entry('F32', [0.5, 2], 0, 4) }, bytes(4)), /shape/],
    ['a size past 2^53', header({ a: entry('F32', [2 ** 60, 0], 0, 0) }), /shape/],
    ['one offset', header({ a: { dtype: 'U8', shape: [1], data_offsets: [1] } }, bytes(1)), /offsets/],
    ['offsets the wrong way round', header({ a: entry('U8', [1], 2, 1) }, bytes(2)), /lies at/],
    ['a tensor past the end', header({ a: entry('U8', [9], 0, 9) }, bytes(8)), /lies at/],
    [
      'a size that does not fit',
      header({ a: entry('F32', [3], 0, 8) }, bytes(8)),
      /needs 12 bytes and has 8/,
    ],
    ['a product past 2^53', header({ a: entry('U8', [2 ** 40, 2 ** 40], 0, 8) }, bytes(8)), /needs/],
    [
      'an overlap',
      header({ a: entry('U8', [4], 0, 4), b: entry('U8', [4], 2, 6) }, bytes(6)),
      /"b" overlaps another/,
    ],
    [
      'a hole',
      header({ a: entry('U8', [2], 0, 2), b: entry('U8', [2], 4, 6) }, bytes(6)),
      /belong to no tensor/,
    ],
    ['bytes left over', header({ a: entry('U8', [2], 0, 2) }, bytes(3)), /end at byte/],
    ['a name twice', file('{"a":{},"\\u0061":{}}'), /names a tensor twice/],
  ];
  test.each(cases)('%s', async (_, whole, message) => {
    const error = await failure(() => parse(whole));
    expect(error.code).toBe('WEIGHTS_HEADER_INVALID');
    expect(error.message).toMatch(message);
    expect(error.fix).not.toBe('');
  });

  test('an unknown element type has its own code', async () => {
    const error = await failure(() => parse(header({ a: entry('F8_E4M3', [4], 0, 4) }, bytes(4))));
    expect(error.code).toBe('WEIGHTS_DTYPE');
    expect((await failure(() => parse(header({ a: entry('toString', [4], 0, 4) }, bytes(4))))).code).toBe(
      'WEIGHTS_DTYPE',
    );
  });

  test('a file cut short is noticed from its header alone', async () => {
    const whole = safetensors({ a: { dtype: 'F32', shape: [1000] } });
    const error = await failure(() =>
      readHeader(source(whole.subarray(0, whole.length - 1)), 'model.safetensors'),
    );
    expect(error.code).toBe('WEIGHTS_HEADER_INVALID');
    expect(error.message).toMatch(/^model\.safetensors /);
  });
});
