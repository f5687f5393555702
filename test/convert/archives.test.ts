/** Archives and indices that lie, or were made to do harm: refused with a stable code. */
import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { openFiles } from '../../packages/convert/src/sources/checkpoint.ts';
import { openTorch } from '../../packages/convert/src/sources/torch.ts';
import { memoryEntry, torchBytes, torchEntries, zipBytes, type ZipEntry } from '../support/torch_writer.ts';
import { failure, folder, json, source, type Reads } from '../weights/files.ts';
import { file, readAll, weight } from './torch_files.ts';

describe('zip files', () => {
  const entries = () => torchEntries([weight]);
  const replaced = (index: number, change: Partial<ZipEntry>) =>
    entries().map((entry, i) => (i === index ? { ...entry, ...change } : entry));

  test('a bomb: kilobytes that claim gigabytes', async () => {
    const deflated = deflateRawSync(new Uint8Array(2 ** 20));
    const bomb = { method: 8, size: deflated.length, chunks: () => [deflated], claimed: 2 ** 40 };
    for (const index of [0, 2]) {
      const error = await failure(async () => readAll(await zipBytes(replaced(index, bomb))));
      expect(error.code).toBe('CHECKPOINT_INVALID');
      expect(error.message).toMatch(/compressed \(method 8\)/);
    }
  });

  const sizes: [string, Partial<ZipEntry>][] = [
    ['claims more than it stores', { claimed: 2 ** 40 }],
    ['claims less than it stores', { claimed: 1 }],
    ['is compressed in an unknown way', { method: 99 }],
  ];
  test.each(sizes)('an entry that %s', async (_, change) => {
    const error = await failure(async () => readAll(await zipBytes(replaced(2, change))));
    expect(error.code).toBe('CHECKPOINT_INVALID');
  });

  const names = [
    '../../../etc/passwd',
    '/etc/passwd',
    'C:/windows/system.ini',
    'archive\\data.pkl',
    'a/../data.pkl',
  ];
  test.each(names)('an entry named %s', async (name) => {
    const error = await failure(async () =>
      readAll(await zipBytes([...entries(), memoryEntry(name, new Uint8Array(4))])),
    );
    expect(error.code).toBe('CHECKPOINT_INVALID');
  });

  test('two entries of one name', async () => {
    const error = await failure(async () => readAll(await zipBytes([...entries(), entries()[2]])));
    expect(error.message).toMatch(/two members/);
  });

  /** Where the directory's records begin, by the signature. */
  const records = (bytes: Uint8Array): number[] => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const found: number[] = [];
    for (let i = 0; i + 4 <= bytes.length; i++) if (view.getUint32(i, true) === 0x02014b50) found.push(i);
    return found;
  };

  test('entries over one another, as a bomb of overlapping files has', async () => {
    const bytes = await zipBytes(entries());
    const view = new DataView(bytes.buffer);
    const [first, , third] = records(bytes);
    const at = view.getUint32(third + 42, true);
    view.setUint32(first + 42, at, true);
    const error = await failure(() => readAll(bytes));
    expect(error.code).toBe('CHECKPOINT_INVALID');
    expect(error.message).toMatch(/overlaps/);
    // Also where nothing would read it.
    view.setUint32(first + 42, 0, true);
    view.setUint32(records(bytes)[3] + 42, at, true);
    expect((await failure(() => openTorch(source(bytes, file), file))).message).toMatch(/overlaps/);
  });

  test('a local header that is longer than the directory says, into the next entry', async () => {
    const bytes = await zipBytes(entries());
    const view = new DataView(bytes.buffer);
    const begin = view.getUint32(records(bytes)[2] + 42, true);
    view.setUint16(begin + 28, view.getUint16(begin + 28, true) + 64, true);
    const error = await failure(() => readAll(bytes));
    expect(error.message).toMatch(/overlaps/);
  });

  const fields: [string, (view: DataView, record: number, end: number) => void][] = [
    ['an entry past the file', (view, record) => view.setUint32(record + 42, 0xfffffff0, true)],
    [
      'an entry larger than the file',
      (view, record) => {
        view.setUint32(record + 20, 0x7fffffff, true);
        view.setUint32(record + 24, 0x7fffffff, true);
      },
    ],
    [
      'an encrypted entry',
      (view, record) => {
        view.setUint16(record + 8, 0x0801, true);
        view.setUint32(record + 24, 4, true);
      },
    ],
    ['2^60 entries', (view, _, end) => view.setBigUint64(end + 32, 2n ** 60n, true)],

    ['a directory past the file', (view, _, end) => view.setBigUint64(end + 48, 2n ** 50n, true)],
    ['a directory inside itself', (view, _, end) => view.setBigUint64(end + 48, BigInt(end), true)],
    ['another disk', (view, _, end) => view.setUint32(end + 16, 3, true)],
    ['a comment that is not there', (view, _, end) => view.setUint16(end + 96, 5000, true)],
  ];
  test.each(fields)('%s', async (_, change) => {
    const bytes = await zipBytes(entries());
    change(new DataView(bytes.buffer), records(bytes)[2], bytes.length - 98);
    const error = await failure(() => readAll(bytes));
    expect(error.code).toBe('CHECKPOINT_INVALID');
  });

  test('a pickle of many megabytes is not even read', async () => {
    const bytes = await zipBytes(replaced(0, memoryEntry('archive/data.pkl', new Uint8Array(17 * 2 ** 20))));
    const reads: Reads[] = [];
    const error = await failure(() => openTorch(source(bytes, file, reads), file));
    expect(error.code).toBe('CHECKPOINT_INVALID');
    expect(error.message).toMatch(/pickle has 17825792 bytes/);
    expect(Math.max(...reads.map(({ begin, end }) => end - begin))).toBeLessThan(2 ** 20);
  });

  test('a million entries are not listed', async () => {
    const bytes = await zipBytes(entries());
    new DataView(bytes.buffer).setBigUint64(bytes.length - 98 + 32, 1_000_000n, true);
    expect((await failure(() => readAll(bytes))).message).toMatch(/claims 1000000 members/);
  });

  test('cut anywhere, it is noticed', async () => {
    const bytes = await zipBytes(entries());
    for (let length = 0; length < bytes.length; length += 7) {
      const error = await failure(() => readAll(bytes.subarray(0, length)));
      expect(error.code).toBe('CHECKPOINT_INVALID');
    }
  });
});

describe('safetensors and indices', () => {
  const header = (tensors: Record<string, unknown>, data: number): Uint8Array => {
    const text = new TextEncoder().encode(JSON.stringify(tensors));
    const bytes = new Uint8Array(8 + text.length + data);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
    bytes.set(text, 8);
    return bytes;
  };
  const entry = (begin: number, end: number, shape = [2]) => ({
    dtype: 'F16',
    shape,
    data_offsets: [begin, end],
  });
  const bad: [string, Uint8Array][] = [
    ['overlapping tensors', header({ a: entry(0, 4), b: entry(2, 6) }, 6)],
    ['a tensor past the end', header({ a: entry(0, 4), b: entry(4, 8) }, 6)],
    ['a hole', header({ a: entry(0, 4), b: entry(6, 10) }, 10)],
    ['a shape of other bytes', header({ a: entry(0, 4, [3]) }, 4)],
    ['a shape past all numbers', header({ a: entry(0, 4, [2 ** 52, 2 ** 52]) }, 4)],
    ['a header longer than the file', Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 127)],
  ];
  test.each(bad)('%s', async (_, bytes) => {
    const files = folder({ 'model.safetensors': bytes });
    const error = await failure(() => openFiles(files, ['model.safetensors']));
    expect(error.code).toBe('WEIGHTS_HEADER_INVALID');
  });

  const places = [
    '../x.bin',
    '/etc/passwd',
    'https://example.com/x.bin',
    'x.safetensors',
    'a/b.bin',
    '',
    'C:x.bin',
  ];
  test.each(places)('an index that places a tensor in %j', async (place) => {
    const index = json({ weight_map: { w: place } });
    const files = folder({ 'pytorch_model.bin.index.json': index });
    const error = await failure(() => openFiles(files, ['pytorch_model.bin.index.json']));
    expect(error.code).toBe('WEIGHTS_INDEX_INVALID');
    expect(error.message).toContain('pytorch_model.bin.index.json');
  });

  test('an index whose shard lacks the tensor, or is missing', async () => {
    const index = json({ weight_map: { w: 'a.bin', other: 'a.bin' } });
    const one = folder({ 'pytorch_model.bin.index.json': index, 'a.bin': await torchBytes([weight]) });
    const lacking = await failure(() => openFiles(one, ['pytorch_model.bin.index.json']));
    expect(lacking.code).toBe('WEIGHTS_INDEX_INVALID');
    const none = folder({ 'pytorch_model.bin.index.json': index });
    const missing = await failure(() => openFiles(none, ['pytorch_model.bin.index.json']));
    expect(missing.code).toBe('MODEL_FILE_MISSING');
  });
});
