/**
 * A restricted unpickler: the opcodes that `torch.save` writes for state dicts, and the few functions that rebuild
 * tensors, as descriptions. Nothing is ever called or imported; everything else is refused by name.
 */
import { checkpointInvalid, checkpointUnsafe } from './errors.ts';

/** Element types of torch storages, by the name of their class. */
const storageTypes = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
} as const;

export type StorageType = (typeof storageTypes)[keyof typeof storageTypes];

/** A storage as `persistent_load` gets it. */
export class PickledStorage {
  readonly type: StorageType;
  readonly key: string;
  /** In elements. */
  readonly length: number;

  constructor(type: StorageType, key: string, length: number) {
    this.type = type;
    this.key = key;
    this.length = length;
  }
}

/** A strided view of a storage; offset and strides in elements. */
export class PickledTensor {
  readonly storage: PickledStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(storage: PickledStorage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    // Copies: the pickle may go on to change its lists.
    this.shape = [...shape];
    this.strides = [...strides];
  }
}

/** A function or class that is allowed, by `module.name`. */
class Global {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** Where a tuple, list or dict on the stack begins. */
const mark = Symbol('mark');

export type Pickled =
  | string
  | number
  | boolean
  | null
  | readonly Pickled[]
  | Map<string | number, Pickled>
  | PickledTensor
  | PickledStorage
  | Global
  | typeof mark;

const allowed: ReadonlySet<string> = new Set([
  'collections.OrderedDict',
  'torch._utils._rebuild_tensor_v2',
  'torch._utils._rebuild_parameter',
  ...Object.keys(storageTypes).map((name) => `torch.${name}`),
]);

/** A state dict of ten thousand tensors takes about 2 MB and 400,000 values; what a hostile file may make us keep is bounded. */
export const maxPickleBytes = 16 * 2 ** 20;
const maxValues = 1_000_000;
const maxTextBytes = 65_536;
const maxGlobalBytes = 200;
const maxDimensions = 16;

/** Codes of pickle protocol 2 that appear in state dicts; the names are those of Python's pickletools. */
const opcodes: Readonly<Record<number, (machine: Machine) => void>> = {
  0x28: (m) => m.push(mark), // MARK
  0x29: (m) => m.push([]), // EMPTY_TUPLE
  0x4b: (m) => m.push(m.unsigned(1)), // BININT1
  0x4d: (m) => m.push(m.unsigned(2)), // BININT2
  0x4a: (m) => m.push(m.unsigned(4) | 0), // BININT
  0x8a: (m) => m.push(m.long()), // LONG1
  0x47: (m) => m.push(m.double()), // BINFLOAT
  0x4e: (m) => m.push(null), // NONE
  0x88: (m) => m.push(true), // NEWTRUE
  0x89: (m) => m.push(false), // NEWFALSE
  0x58: (m) => m.push(m.text(m.unsigned(4))), // BINUNICODE
  0x55: (m) => m.push(m.text(m.unsigned(1))), // SHORT_BINSTRING
  0x54: (m) => m.push(m.text(m.unsigned(4))), // BINSTRING
  0x5d: (m) => m.push([]), // EMPTY_LIST
  0x7d: (m) => m.push(new Map()), // EMPTY_DICT
  0x74: (m) => m.push(m.popToMark()), // TUPLE
  0x85: (m) => m.push(m.popMany(1)), // TUPLE1
  0x86: (m) => m.push(m.popMany(2)), // TUPLE2
  0x87: (m) => m.push(m.popMany(3)), // TUPLE3
  0x61: (m) => m.append(m.popMany(1)), // APPEND
  0x65: (m) => m.append(m.popToMark()), // APPENDS
  0x73: (m) => m.setItems(m.popMany(2)), // SETITEM
  0x75: (m) => m.setItems(m.popToMark()), // SETITEMS
  0x71: (m) => m.put(m.unsigned(1)), // BINPUT
  0x72: (m) => m.put(m.unsigned(4)), // LONG_BINPUT
  0x68: (m) => m.get(m.unsigned(1)), // BINGET
  0x6a: (m) => m.get(m.unsigned(4)), // LONG_BINGET
  0x63: (m) => m.global(), // GLOBAL
  0x51: (m) => m.storage(), // BINPERSID
  0x52: (m) => m.reduce(), // REDUCE
  0x62: (m) => m.build(), // BUILD
};

const protocol = 0x80;
const stop = 0x2e;

/**
 * The object that a pickle describes.
 *
 * @param file for messages.
 * @throws {LoadError} `CHECKPOINT_UNSAFE` naming the opcode, function or class that is not allowed; `CHECKPOINT_INVALID`
 *   where the pickle is broken.
 */
export function unpickle(bytes: Uint8Array, file: string): Pickled {
  const machine = new Machine(bytes, file);
  if (machine.unsigned(1) !== protocol || machine.unsigned(1) !== 2)
    throw checkpointUnsafe(file, 'it is not a pickle of protocol 2, as torch.save writes it');
  for (;;) {
    const code = machine.unsigned(1);
    if (code === stop) return machine.pop();
    if (!Object.hasOwn(opcodes, code)) {
      throw checkpointUnsafe(file, `its pickle has the opcode 0x${code.toString(16).padStart(2, '0')}`);
    }
    opcodes[code](machine);
  }
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: string;
  readonly #stack: Pickled[] = [];
  readonly #memo = new Map<number, Pickled>();
  #at = 0;
  #pushed = 0;

  constructor(bytes: Uint8Array, file: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#file = file;
  }

  push(value: Pickled): void {
    if (++this.#pushed > maxValues) throw this.#broken(`it holds more than ${maxValues} values`);
    this.#stack.push(value);
  }

  pop(): Pickled {
    const value = this.#stack.pop();
    if (value === undefined || value === mark) throw this.#broken('it takes from an empty stack');
    return value;
  }

  popMany(count: number): Pickled[] {
    const values = this.#stack.splice(-count);
    if (values.length < count || values.includes(mark)) throw this.#broken('it takes from an empty stack');
    return values;
  }

  popToMark(): Pickled[] {
    const at = this.#stack.lastIndexOf(mark);
    if (at < 0) throw this.#broken('it lacks a mark');
    const values = this.#stack.splice(at);
    values.shift();
    return values;
  }

  append(values: Pickled[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) throw this.#broken('it appends to what is no list');
    for (const value of values) list.push(value);
  }

  setItems(values: Pickled[]): void {
    const dict = this.#top();
    if (!(dict instanceof Map)) throw this.#broken('it sets items of what is no dict');
    if (values.length % 2 !== 0) throw this.#broken('a key lacks its value');
    for (let i = 0; i < values.length; i += 2) {
      const key = values[i];
      if (typeof key !== 'string' && typeof key !== 'number')
        throw this.#broken('a dict has a key that is neither text nor a number');
      dict.set(key, values[i + 1]);
    }
  }

  put(index: number): void {
    if (this.#memo.size >= maxValues) throw this.#broken(`it keeps more than ${maxValues} values`);
    this.#memo.set(index, this.#top());
  }

  get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#broken(`it asks for the memo ${index}, which was never kept`);
    this.push(value);
  }

  global(): void {
    const name = `${this.#line()}.${this.#line()}`;
    if (!allowed.has(name)) throw checkpointUnsafe(this.#file, `it asks for ${JSON.stringify(name)}`);
    this.push(new Global(name));
  }

  storage(): void {
    const id = this.pop();
    const [kind, type, key, , length] = Array.isArray(id) ? (id as readonly Pickled[]) : [];
    const storageType = type instanceof Global ? storageTypeOf(type.name) : null;
    if (kind !== 'storage' || !storageType || typeof key !== 'string' || !isSize(length))
      throw this.#broken('a storage is described in a way that is not known');
    this.push(new PickledStorage(storageType, key, length));
  }

  reduce(): void {
    const args = this.pop();
    const callee = this.pop();
    if (!(callee instanceof Global) || !Array.isArray(args))
      throw this.#broken('it calls what is no function');
    this.push(this.#call(callee.name, args as readonly Pickled[]));
  }

  /** torch gives state dicts an attribute `_metadata`, which says nothing of the tensors. */
  build(): void {
    const state = this.pop();
    if (!(state instanceof Map) || !(this.#top() instanceof Map))
      throw checkpointUnsafe(this.#file, 'it sets the state of an object that is no dict');
  }

  #call(name: string, args: readonly Pickled[]): Pickled {
    switch (name) {
      case 'collections.OrderedDict':
        if (args.length === 0) return new Map();
        break;
      case 'torch._utils._rebuild_tensor_v2':
        return this.#tensor(args);
      case 'torch._utils._rebuild_parameter':
        if (args[0] instanceof PickledTensor) return args[0];
        break;
      default:
    }
    throw checkpointUnsafe(this.#file, `it calls ${name} with arguments that are not known`);
  }

  #tensor(args: readonly Pickled[]): PickledTensor {
    const [storage, offset, shape, strides, , , metadata] = args;
    const plain = metadata === undefined || metadata === null || (metadata instanceof Map && !metadata.size);
    if (
      !plain ||
      !(storage instanceof PickledStorage) ||
      !isSize(offset) ||
      !isSizes(shape) ||
      !isSizes(strides) ||
      shape.length !== strides.length
    )
      throw this.#broken('a tensor is described in a way that is not known');
    return new PickledTensor(storage, offset, shape, strides);
  }

  #top(): Pickled {
    const value = this.#stack.at(-1);
    if (value === undefined || value === mark) throw this.#broken('it takes from an empty stack');
    return value;
  }

  unsigned(bytes: 1 | 2 | 4): number {
    const at = this.#take(bytes);
    if (bytes === 1) return this.#view.getUint8(at);
    return bytes === 2 ? this.#view.getUint16(at, true) : this.#view.getUint32(at, true);
  }

  double(): number {
    return this.#view.getFloat64(this.#take(8));
  }

  /** LONG1: little-endian two's complement; past 53 bits it is no size. */
  long(): number {
    const count = this.unsigned(1);
    if (count > 8) throw this.#broken('it holds a number of more than 64 bits');
    const at = this.#take(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[at + i]);
    return Number(BigInt.asIntN(8 * count, value));
  }

  text(bytes: number): string {
    if (bytes > maxTextBytes) throw this.#broken(`it holds a text of ${bytes} bytes`);
    const at = this.#take(bytes);
    return decode(this.#bytes.subarray(at, at + bytes));
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0 || end - this.#at > maxGlobalBytes) throw this.#broken('the name of a global has no end');
    const line = decode(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return line;
  }

  #take(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    if (this.#at > this.#bytes.length) throw this.#broken('it ends too early');
    return at;
  }

  #broken(what: string): Error {
    return checkpointInvalid(this.#file, `its pickle is broken: ${what}`);
  }
}

const decoder = new TextDecoder();

function decode(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

function storageTypeOf(global: string): StorageType | null {
  const name = global.replace(/^torch\./, '');
  return Object.hasOwn(storageTypes, name) ? storageTypes[name as keyof typeof storageTypes] : null;
}

function isSize(value: Pickled | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isSizes(value: Pickled): value is readonly number[] {
  // The length first: a long list that many tensors name must not be walked for each of them.
  return (
    Array.isArray(value) && value.length <= maxDimensions && value.every((size: Pickled) => isSize(size))
  );
}
