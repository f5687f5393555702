/** Files that are damaged or made to do harm: refused with a stable code, in bounded time and memory. */
import { existsSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { openPlan } from '../../packages/convert/src/plan.ts';
import { openFiles } from '../../packages/convert/src/sources/checkpoint.ts';
import { unpickle } from '../../packages/convert/src/sources/pickle.ts';
import { openTorch } from '../../packages/convert/src/sources/torch.ts';
import { fuzz as fuzzFiles } from '../support/fuzz.ts';
import {
  memoryEntry,
  Pickler,
  torchBytes,
  torchEntries,
  zipBytes,
  type TorchTensor,
  type ZipEntry,
} from '../support/torch_writer.ts';
import { failure, folder, json, safetensors, source } from '../weights/files.ts';
import { mutateBytes, mutateJson, type Random } from '../weights/mutate.ts';
import {
  adapterConfig,
  adapterDrafts,
  languageDrafts,
  llavaConfig,
  loraFolders,
  preprocessorConfig,
  published,
  tokenizerFiles,
  towerConfig,
  towerDrafts,
  towerFolder,
  trainedDrafts,
  wholeFolders,
} from './tiny_published.ts';

const file = 'pytorch_model.bin';
const mark = 0x28;
const reduce = 0x52;
const stop = 0x2e;

const weight: TorchTensor = { name: 'w', dtype: 'F32', shape: [2, 2], chunks: () => [new Uint8Array(16)] };

/** The file of `weight` with another pickle. */
async function withPickle(pickle: Uint8Array): Promise<Uint8Array> {
  const [, ...rest] = torchEntries([weight]);
  return zipBytes([memoryEntry('archive/data.pkl', pickle), ...rest]);
}

async function open(bytes: Uint8Array): Promise<void> {
  const tensors = await openTorch(source(bytes, file), file);
  for (const tensor of tensors.values()) {
    const rows = tensor.shape[0] ?? 1;
    const read = await tensor.read(0, rows);
    if (read.length !== tensor.bytes) throw new Error(`${read.length} of ${tensor.bytes} bytes`);
  }
}

describe('pickles that call functions', () => {
  const canary = 'llava-sp-hostile-was-here';
  const call = (module: string, name: string): Uint8Array =>
    new Pickler().global(module, name).raw(mark).text(`touch ${canary}`).raw(0x74, reduce, stop).bytes();
  const globals: [string, string][] = [
    ['os', 'system'],
    ['posix', 'system'],
    ['nt', 'system'],
    ['subprocess', 'Popen'],
    ['builtins', 'eval'],
    ['builtins', 'exec'],
    ['builtins', 'getattr'],
    ['builtins', '__import__'],
    ['__builtin__', 'eval'],
    ['operator', 'attrgetter'],
    ['functools', 'partial'],
    ['importlib', 'import_module'],
    ['pickle', 'loads'],
    ['torch', 'load'],
    ['torch', 'hub.load'],
    ['torch.serialization', 'load'],
    ['torch._utils', '_rebuild_tensor'],
    ['torch._utils', '_rebuild_qtensor'],
    ['torch._utils', '_rebuild_sparse_tensor'],
    ['torch.nn.modules.linear', 'Linear'],
    ['numpy.core.multiarray', '_reconstruct'],
    ['collections', 'OrderedDict.update'],
    ['collections', 'defaultdict'],
    ['torch', 'FloatStorage.from_file'],
    ['torch', 'constructor'],
    ['torch', '__proto__'],
  ];
  test.each(globals)('%s.%s is refused by name', async (module, name) => {
    const error = await failure(async () => open(await withPickle(call(module, name))));
    expect(error.code).toBe('CHECKPOINT_UNSAFE');
    expect(error.message).toContain(`"${module}.${name}"`);
    expect(existsSync(canary)).toBe(false);
  });

  // Instances, __reduce__ of others, extension registries, persistent ids in text, newer protocols' own ways.
  const codes = { INST: 0x69, OBJ: 0x6f, NEWOBJ: 0x81, NEWOBJ_EX: 0x92, STACK_GLOBAL: 0x93, EXT1: 0x82 };
  const others = {
    EXT4: 0x84,
    PERSID: 0x50,
    FRAME: 0x95,
    MEMOIZE: 0x94,
    STRING: 0x53,
    LONG: 0x4c,
    DUP: 0x32,
  };
  test.each(Object.entries({ ...codes, ...others }))('the opcode %s', async (_, code) => {
    const error = await failure(() => unpickle(new Pickler().raw(code, 0x0a, 0x0a, stop).bytes(), file));
    expect(error.code).toBe('CHECKPOINT_UNSAFE');
    expect(error.message).toContain(`opcode 0x${code.toString(16)}`);
  });

  const dict = (pickle: Pickler) => pickle.global('collections', 'OrderedDict').raw(0x29, reduce);
  const tensor = (pickle: Pickler) => pickle.tensor(weight, { key: '0', length: 4, dtype: 'F32' });
  const misuse: [string, Uint8Array][] = [
    [
      'OrderedDict of a list',
      new Pickler().global('collections', 'OrderedDict').raw(0x5d, 0x85, reduce, stop).bytes(),
    ],
    ['a state for a tensor', tensor(new Pickler()).raw(0x7d, 0x62, stop).bytes()],
    ['a state that is no dict', dict(new Pickler()).raw(0x29, 0x62, stop).bytes()],
    [
      'a parameter of no tensor',
      new Pickler().global('torch._utils', '_rebuild_parameter').raw(0x29, reduce, stop).bytes(),
    ],
    ['a storage class called', new Pickler().global('torch', 'FloatStorage').raw(0x29, reduce, stop).bytes()],
    ['another protocol', Uint8Array.of(0x80, 4, 0x7d, stop)],
    ['no protocol', Uint8Array.of(0x7d, stop, 0, 0)],
  ];
  test.each(misuse)('%s', async (_, pickle) => {
    const error = await failure(async () => open(await withPickle(pickle)));
    expect(error.code).toBe('CHECKPOINT_UNSAFE');
  });
});

describe('broken pickles', () => {
  const valid = (): Uint8Array => {
    const pickle = new Pickler().raw(0x7d, mark).text('w');
    return pickle.tensor(weight, { key: '0', length: 4, dtype: 'F32' }).raw(0x75, stop).bytes();
  };

  test('cut anywhere', async () => {
    const whole = valid();
    expect(unpickle(whole, file)).toBeInstanceOf(Map);
    for (let length = 0; length < whole.length; length++) {
      const error = await failure(() => unpickle(whole.subarray(0, length), file));
      expect(['CHECKPOINT_INVALID', 'CHECKPOINT_UNSAFE']).toContain(error.code);
    }
  });

  const broken: [string, number[]][] = [
    ['an empty stack', [stop]],
    ['a tuple without a mark', [0x74, stop]],
    ['a pair of one value', [0x4e, 0x86, stop]],
    ['a mark as a value', [mark, stop]],
    ['a memo never kept', [0x68, 7, stop]],
    ['items of what is no dict', [0x4e, 0x4e, 0x4e, 0x73, stop]],
    ['a key without a value', [0x7d, mark, 0x4e, 0x75, stop]],
    ['a key that is a list', [0x7d, 0x5d, 0x4e, 0x73, stop]],
    ['an append to a dict', [0x7d, 0x4e, 0x61, stop]],
    ['a call of a number', [0x4b, 1, 0x29, reduce, stop]],
    ['a storage described by a number', [0x4b, 1, 0x51, stop]],
    ['a text of 4 GB', [0x58, 255, 255, 255, 255, stop]],
    ['a number of 255 bytes', [0x8a, 255, stop]],
    ['a global without an end', [0x63, 0x6f, 0x73, stop]],
  ];
  test.each(broken)('%s', async (_, bytes) => {
    const error = await failure(() => unpickle(new Pickler().raw(...bytes).bytes(), file));
    expect(error.code).toBe('CHECKPOINT_INVALID');
    expect(error.message).toMatch(/pickle is broken/);
  });

  test('a list that holds itself, and one that grows after a tensor took it as its shape', async () => {
    const itself = new Pickler().raw(0x5d, 0x71, 0, 0x68, 0, 0x61, stop).bytes();
    await expect(withPickle(itself).then(open)).rejects.toMatchObject({ code: 'CHECKPOINT_INVALID' });
    const pickle = new Pickler().raw(0x7d, mark).text('w').global('torch._utils', '_rebuild_tensor_v2');
    pickle.raw(mark, mark).text('storage').global('torch', 'FloatStorage').text('0').text('cpu');
    pickle.integer(4).raw(0x74, 0x51).integer(0);
    pickle.raw(0x5d, 0x71, 0, 0x4b, 4, 0x61, 0x5d, 0x4b, 1, 0x61, 0x74, reduce);
    // 'again': the list of sizes, after 9 is appended to it.
    pickle.text('again').raw(0x68, 0, 0x4b, 9, 0x61, 0x75, stop);
    const bytes = await withPickle(pickle.bytes());
    const tensors = await openTorch(source(bytes, file), file);
    expect(tensors.get('w')?.shape).toEqual([4]);
  });

  test('millions of values, deep nests and long shapes end soon', async () => {
    const begin = performance.now();
    const filled = (...fill: number[]) => {
      const bytes = new Uint8Array(3 * 2 ** 20);
      for (let i = 2; i + fill.length <= bytes.length; i += fill.length) bytes.set(fill, i);
      bytes.set([0x80, 2]);
      return bytes;
    };
    const nests = [filled(mark), filled(0x7d), filled(0x29, 0x85), filled(0x5d), filled(0x4e, 0x71, 0)];
    for (const bytes of nests) {
      const error = await failure(() => unpickle(bytes, file));
      expect(error.message).toMatch(/(holds|keeps) more than 1000000 values/);
    }
    const large = await failure(() => unpickle(new Uint8Array(17 * 2 ** 20), file));
    expect(large.message).toMatch(/limit/);
    // A list of 400,000 sizes that 50,000 tensors would each have to check.
    const pickle: number[] = [0x80, 2, 0x5d, mark];
    for (let i = 0; i < 400_000; i++) pickle.push(0x4b, 1);
    pickle.push(0x65, 0x71, 0);
    const one = new Pickler().global('torch._utils', '_rebuild_tensor_v2').raw(mark, mark).text('storage');
    one.global('torch', 'FloatStorage').text('0').text('cpu').integer(4).raw(0x74, 0x51, 0x71, 1);
    pickle.push(...one.bytes().subarray(2), 0x4b, 0, 0x68, 0, 0x68, 0, 0x74, reduce);
    const again = await failure(() => unpickle(Uint8Array.from(pickle), file));
    expect(again.message).toMatch(/tensor is described/);
    expect(performance.now() - begin).toBeLessThan(10_000);
  });
});

describe('tensors that lie', () => {
  const lies: [string, Partial<TorchTensor>, RegExp][] = [
    ['an offset past the storage', { offset: 1 }, /reaches element 5 of a storage of 4/],
    ['strides past the storage', { stride: [3, 1] }, /reaches element 5/],
    ['a shape past the storage', { shape: [3, 2] }, /reaches element 6/],
    ['a stride near the end of numbers', { stride: [2 ** 52, 1] }, /reaches element/],
    ['an expanded terabyte', { shape: [2 ** 40, 1], stride: [0, 0] }, /claims the shape/],
    ['an expanded row', { shape: [1, 2 ** 32], stride: [0, 0] }, /claims the shape/],
    ['a negative size', { shape: [-2, 2], stride: [2, 1] }, /described in a way/],
    ['a negative stride', { stride: [-2, 1] }, /described in a way/],
    ['a negative offset', { offset: -1 }, /described in a way/],
    ['more strides than sizes', { stride: [2, 1, 1] }, /described in a way/],
    ['twenty dimensions', { shape: Array<number>(20).fill(1) }, /described in a way/],
  ];
  test.each(lies)('%s', async (_, change, message) => {
    const bytes = await torchBytes([{ ...weight, storageLength: 4, ...change }]);
    const error = await failure(() => open(bytes));
    expect(error.code).toBe('CHECKPOINT_INVALID');
    expect(error.message).toMatch(message);
  });

  const storages: [string, { key: string; length: number }, RegExp][] = [
    ['a storage longer than its bytes', { key: '0', length: 2 ** 30 }, /has a storage of 16 bytes/],
    ['a storage that is absent', { key: '1', length: 4 }, /is absent/],
    ['a storage outside the archive', { key: '../../data/0', length: 4 }, /is absent/],
  ];
  test.each(storages)('%s', async (_, storage, message) => {
    const pickle = new Pickler()
      .raw(0x7d)
      .text('w')
      .tensor(weight, { ...storage, dtype: 'F32' });
    const error = await failure(async () => open(await withPickle(pickle.raw(0x73, stop).bytes())));
    expect(error.code).toBe('CHECKPOINT_INVALID');
    expect(error.message).toMatch(message);
  });
});

describe('zip files', () => {
  const entries = () => torchEntries([weight]);
  const replaced = (index: number, change: Partial<ZipEntry>) =>
    entries().map((entry, i) => (i === index ? { ...entry, ...change } : entry));

  test('a bomb: kilobytes that claim gigabytes', async () => {
    const deflated = deflateRawSync(new Uint8Array(2 ** 20));
    const bomb = { method: 8, size: deflated.length, chunks: () => [deflated], claimed: 2 ** 40 };
    for (const index of [0, 2]) {
      const error = await failure(async () => open(await zipBytes(replaced(index, bomb))));
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
    const error = await failure(async () => open(await zipBytes(replaced(2, change))));
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
      open(await zipBytes([...entries(), memoryEntry(name, new Uint8Array(4))])),
    );
    expect(error.code).toBe('CHECKPOINT_INVALID');
  });

  test('two entries of one name', async () => {
    const error = await failure(async () => open(await zipBytes([...entries(), entries()[2]])));
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
    const error = await failure(() => open(bytes));
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
    const error = await failure(() => open(bytes));
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
    const error = await failure(() => open(bytes));
    expect(error.code).toBe('CHECKPOINT_INVALID');
  });

  test('a million entries are not listed', async () => {
    const bytes = await zipBytes(entries());
    new DataView(bytes.buffer).setBigUint64(bytes.length - 98 + 32, 1_000_000n, true);
    expect((await failure(() => open(bytes))).message).toMatch(/claims 1000000 members/);
  });

  test('cut anywhere, it is noticed', async () => {
    const bytes = await zipBytes(entries());
    for (let length = 0; length < bytes.length; length += 7) {
      const error = await failure(() => open(bytes.subarray(0, length)));
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

describe('thousands of damaged files are read or refused, never more', () => {
  const started = performance.now();
  let total = 0;
  const fuzz = async (count: number, salt: number, read: (random: Random) => unknown): Promise<void> => {
    await fuzzFiles(count, salt, read);
    total += count;
  };
  const tensors: TorchTensor[] = [
    weight,
    { name: 'tied', dtype: 'F32', shape: [2, 2], stride: [1, 2], tiedTo: 'w' },
    { name: 'half', dtype: 'F16', shape: [3, 1, 2], chunks: () => [new Uint8Array(12)] },
    { name: 'long', dtype: 'I64', shape: [2], chunks: () => [new Uint8Array(16)] },
  ];
  const [pickleEntry, ...rest] = torchEntries(tensors);
  const readable = new Set<string>();

  test('torch files, any byte', async () => {
    const bytes = await torchBytes(tensors);
    await fuzz(2500, 21, (next) => open(mutateBytes(bytes, next)));
  });

  test('torch files, the pickle', async () => {
    const pickle = new Uint8Array(pickleEntry.size);
    for await (const chunk of pickleEntry.chunks()) pickle.set(chunk);
    await fuzz(3000, 22, async (next) => {
      const damaged = memoryEntry('archive/data.pkl', mutateBytes(pickle, next));
      await open(await zipBytes([damaged, ...rest]));
    });
  });

  test('torch files, the directory', async () => {
    const bytes = await torchBytes(tensors);
    const directory = bytes.findIndex((_, i) => i > 600 && bytes[i] === 0x50 && bytes[i + 2] === 1);
    expect(directory).toBeGreaterThan(0);
    await fuzz(1500, 23, (next) => {
      const damaged = mutateBytes(bytes.subarray(directory), next);
      return open(Uint8Array.from([...bytes.subarray(0, directory), ...damaged]));
    });
  });

  const { grid } = published;
  const small = { ...published, spatial: null };
  const close = async (opening: ReturnType<typeof openPlan>) => {
    const plan = await opening;
    readable.add(plan.variant);
    for (const { source: from, rows, shape } of plan.tensors) {
      expect(rows[1] - rows[0]).toBe(shape[0]);
      if (from) await from.read(rows[0], Math.min(rows[1], rows[0] + 1));
    }
    await plan.close();
  };
  const damaged = (value: object, next: Random) =>
    next() < 0.5 ? json(mutateJson(value, next)) : mutateBytes(json(value), next);

  test("a checkpoint's config.json", () =>
    fuzz(1000, 24, (next) =>
      close(openPlan(wholeFolders(small, { 'config.json': damaged(llavaConfig(), next) }))),
    ));

  test("a tower's config.json and preprocessor_config.json, a tokenizer's added tokens", () =>
    fuzz(1000, 25, (next) => {
      const visionTower = folder({
        'config.json': next() < 0.6 ? damaged(towerConfig({ grid }), next) : json(towerConfig({ grid })),
        'preprocessor_config.json': damaged(preprocessorConfig, next),
        'model.safetensors': safetensors(towerDrafts({ grid })),
      });
      const tokens = { 'added_tokens.json': damaged({ '<image>': 3 }, next) };
      return close(openPlan({ ...wholeFolders(small, next() < 0.3 ? tokens : {}), visionTower }));
    }));

  test('adapter_config.json', () =>
    fuzz(1000, 26, (next) => {
      const patterns = { rank_pattern: { k_proj: 3 }, alpha_pattern: {}, use_rslora: false };
      const config = damaged({ ...adapterConfig, ...patterns }, next);
      return close(openPlan(loraFolders({ 'adapter_config.json': config })));
    }));

  test('names, types and shapes of tensors', () => {
    const drafts = { ...languageDrafts(), ...trainedDrafts({ ...published, kernels: [12, 24], detail: 4 }) };
    const known = ['F32', 'F16', 'BF16', 'I64'];
    return fuzz(1000, 27, (next) => {
      const changed = { ...drafts };
      const names = Object.keys(changed);
      const name = names[Math.floor(next() * names.length)];
      const { dtype, shape } = changed[name];
      const kind = Math.floor(next() * 5);
      if (kind !== 3) delete changed[name];
      const other = new TextDecoder().decode(mutateBytes(new TextEncoder().encode(name), next));
      if (kind === 0) changed[other] = { dtype, shape };
      if (kind === 1) changed[name] = { dtype: known[Math.floor(next() * 4)], shape };
      if (kind === 2)
        changed[name] = { dtype, shape: shape.map((size) => Math.max(0, size + (next() < 0.5 ? 1 : 0))) };
      if (kind === 3) changed[`model.${other}`] = { dtype, shape: [...shape].reverse() };
      return close(openPlan(wholeFolders(published, { 'model.safetensors': safetensors(changed) })));
    });
  });

  afterAll(() => {
    const seconds = (performance.now() - started) / 1000;
    console.log(`${total} damaged files in ${seconds.toFixed(1)} s; ${[...readable].join('; ')}`);
    expect(total).toBeGreaterThanOrEqual(10_000);
    expect(seconds).toBeLessThan(120);
  });
});

test('the folders that are damaged here are read when they are whole', async () => {
  for (const folders of [wholeFolders(), loraFolders(), { ...wholeFolders(), visionTower: towerFolder() }]) {
    const plan = await openPlan(folders);
    expect(plan.tensors.length).toBeGreaterThan(40);
    await plan.close();
  }
  expect(Object.keys(adapterDrafts())).toHaveLength(2);
  expect(Object.keys(tokenizerFiles)).toContain('tokenizer.model');
});
