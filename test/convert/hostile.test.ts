/** Pickles that are broken or made to do harm: refused with a stable code, in bounded time and memory. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { unpickle } from '../../packages/convert/src/sources/pickle.ts';
import { openTorch } from '../../packages/convert/src/sources/torch.ts';
import {
  memoryEntry,
  Pickler,
  torchBytes,
  torchEntries,
  zipBytes,
  type TorchTensor,
} from '../support/torch_writer.ts';
import { failure, source } from '../weights/files.ts';
import { file, readAll, weight } from './torch_files.ts';

const mark = 0x28;
const reduce = 0x52;
const stop = 0x2e;

/** The file of `weight` with another pickle. */
async function withPickle(pickle: Uint8Array): Promise<Uint8Array> {
  const [, ...rest] = torchEntries([weight]);
  return zipBytes([memoryEntry('archive/data.pkl', pickle), ...rest]);
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
    const error = await failure(async () => readAll(await withPickle(call(module, name))));
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
    const error = await failure(async () => readAll(await withPickle(pickle)));
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
    await expect(withPickle(itself).then(readAll)).rejects.toMatchObject({ code: 'CHECKPOINT_INVALID' });
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
    // A list of 400,000 sizes that 50,000 tensors would each have to check.
    const pickle: number[] = [0x80, 2, 0x5d, mark];
    for (let i = 0; i < 400_000; i++) pickle.push(0x4b, 1);
    pickle.push(0x65, 0x71, 0);
    const one = new Pickler().global('torch._utils', '_rebuild_tensor_v2').raw(mark, mark).text('storage');
    one.global('torch', 'FloatStorage').text('0').text('cpu').integer(4).raw(0x74, 0x51, 0x71, 1);
    pickle.push(...one.bytes().subarray(2), 0x4b, 0, 0x68, 0, 0x68, 0, 0x74, reduce);
    const again = await failure(() => unpickle(Uint8Array.from(pickle), file));
    expect(again.message).toMatch(/tensor is described/);
    expect(performance.now() - begin).toBeLessThan(60_000);
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
    const error = await failure(() => readAll(bytes));
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
    const error = await failure(async () => readAll(await withPickle(pickle.raw(0x73, stop).bytes())));
    expect(error.code).toBe('CHECKPOINT_INVALID');
    expect(error.message).toMatch(message);
  });
});
