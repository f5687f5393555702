import type { ByteSource } from '@llava-sp/core';
import { dtypeBytes } from '@llava-sp/core/formats';
import { checkpointInvalid } from './errors.ts';
import { maxPickleBytes, PickledTensor, unpickle, type PickledStorage } from './pickle.ts';
import { readStrided, spanOf } from './strided.ts';
import { publishedTensor, type PublishedTensor } from './tensors.ts';
import { openZip, type ZipMember } from './zip.ts';

const zipSignature = 0x04034b50;
const maxByteOrderBytes = 64;

/**
 * The tensors of a file that `torch.save` wrote (zip and pickle), by name. Values that are no tensors are left out. Reading
 * happens on demand; F64 is given as F32.
 *
 * @throws {LoadError} `CHECKPOINT_UNSAFE`, `CHECKPOINT_INVALID`, `FILE_UNREADABLE`.
 */
export async function openTorch(
  source: ByteSource,
  file: string,
  signal?: AbortSignal,
): Promise<Map<string, PublishedTensor>> {
  await checkSignature(source, file, signal);
  const members = await openZip(source, file, signal);
  const pickle = [...members.keys()].filter((name) => /^([^/]*\/)?data\.pkl$/.test(name));
  if (pickle.length !== 1) throw checkpointInvalid(file, 'it has no one data.pkl, as torch.save writes it');
  const root = pickle[0].slice(0, -'data.pkl'.length);
  await checkByteOrder(source, members.get(`${root}byteorder`), file, signal);

  const member = members.get(pickle[0]);
  if (member && member.size > maxPickleBytes)
    throw checkpointInvalid(file, `its pickle has ${member.size} bytes, the limit is ${maxPickleBytes}`);
  const value = unpickle(await readMember(source, member, signal), file);
  if (!(value instanceof Map)) throw checkpointInvalid(file, 'it holds no state dict');
  const tensors = new Map<string, PublishedTensor>();
  for (const [name, tensor] of value) {
    if (!(tensor instanceof PickledTensor)) continue;
    const member = members.get(`${root}data/${tensor.storage.key}`);
    tensors.set(String(name), published(source, String(name), tensor, member, file));
  }
  return tensors;
}

async function checkSignature(source: ByteSource, file: string, signal?: AbortSignal): Promise<void> {
  const head = await source.read(0, Math.min(4, source.size), signal);
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length === 4 && view.getUint32(0, true) === zipSignature) return;
  if (head[0] === 0x80)
    throw checkpointInvalid(
      file,
      'it is a bare pickle, as torch.save wrote before 1.6; only the zip form is read',
    );
  throw checkpointInvalid(file, 'it is not a zip file, as torch.save writes it');
}

async function checkByteOrder(
  source: ByteSource,
  member: ZipMember | undefined,
  file: string,
  signal?: AbortSignal,
): Promise<void> {
  if (!member) return;
  if (member.size > maxByteOrderBytes) throw checkpointInvalid(file, 'its byteorder is no word');
  const order = new TextDecoder().decode(await readMember(source, member, signal));
  if (order !== 'little')
    throw checkpointInvalid(file, `its byte order is ${JSON.stringify(order)}, not little`);
}

async function readMember(
  source: ByteSource,
  member: ZipMember | undefined,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (!member) return new Uint8Array(0);
  const begin = await member.begin();
  return source.read(begin, begin + member.size, signal);
}

function published(
  source: ByteSource,
  name: string,
  tensor: PickledTensor,
  member: ZipMember | undefined,
  file: string,
): PublishedTensor {
  const { storage, offset, shape, strides } = tensor;
  const label = `its tensor ${JSON.stringify(name.slice(0, 200))}`;
  if (!member)
    throw checkpointInvalid(
      file,
      `${label} lies in the storage ${storage.key.slice(0, 40)}, which is absent`,
    );
  checkStorage(storage, member, label, file);
  const end = offset + spanOf(shape, strides);
  if (!(end <= storage.length))
    throw checkpointInvalid(file, `${label} reaches element ${end} of a storage of ${storage.length}`);
  const item = dtypeBytes[storage.type];
  const read: Read = async (rowBegin, rowEnd, signal) => {
    const begin = await member.begin();
    return readStrided(source, { begin, item, offset, shape, strides }, rowBegin, rowEnd, signal);
  };
  if (storage.type !== 'F64') return publishedTensor({ name, dtype: storage.type, shape, file, read });
  const narrowed: Read = async (rowBegin, rowEnd, signal) => narrow(await read(rowBegin, rowEnd, signal));
  return publishedTensor({ name, dtype: 'F32', shape, file, read: narrowed });
}

type Read = PublishedTensor['read'];

function checkStorage(storage: PickledStorage, member: ZipMember, label: string, file: string): void {
  const bytes = storage.length * dtypeBytes[storage.type];
  if (bytes !== member.size)
    throw checkpointInvalid(
      file,
      `${label} has a storage of ${member.size} bytes where ${bytes} are claimed`,
    );
}

function narrow(bytes: Uint8Array): Uint8Array {
  const doubles = new Float64Array(bytes.slice().buffer);
  return new Uint8Array(Float32Array.from(doubles).buffer);
}
