import type { Codec, RawPixels } from '../decode.ts';

interface Exports {
  memory: WebAssembly.Memory;
  __wbindgen_malloc(size: number, align: number): number;
  decode(bytes: number, length: number): number;
}

/**
 * PNG by the `png` crate of Rust: every colour type, depth and interlacing. The package's own JavaScript keeps
 * one instance for good, which a damaged file that traps would spoil; so an instance is made for each image, with
 * the two imports that decoding calls.
 */
export const decodePng: Codec = async (module, bytes) => {
  checkChunks(bytes);
  let image: RawPixels | undefined;
  const view = (pointer: number, length: number) =>
    new Uint8Array(exports.memory.buffer, pointer >>> 0, length >>> 0);
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  // The names end in a hash that changes from build to build.
  for (const { module: space, name } of WebAssembly.Module.imports(module)) {
    imports[space] ??= {};
    if (name.startsWith('__wbg_newwithownedu8clampedarrayandsh')) {
      imports[space][name] = (data: number, length: number, width: number, height: number) => {
        image = { data: view(data, length).slice(), width: width >>> 0, height: height >>> 0 };
        return 0;
      };
    } else if (name === '__wbindgen_throw') {
      imports[space][name] = (text: number, length: number) => {
        throw new Error(new TextDecoder().decode(view(text, length)));
      };
    } else {
      imports[space][name] = () => {
        throw new Error(`the decoder called ${name}`);
      };
    }
  }
  const instance = await WebAssembly.instantiate(module, imports);
  const exports = instance.exports as unknown as Exports;
  const pointer = exports.__wbindgen_malloc(bytes.length, 1);
  view(pointer, bytes.length).set(bytes);
  try {
    exports.decode(pointer, bytes.length);
  } catch (cause) {
    // Rust's panic is a trap without words.
    throw new Error('its data is damaged', { cause });
  }
  if (image === undefined) throw new Error('no picture came out');
  return image;
};

/**
 * Verifies the checksums of the chunks that pixels come from (PNG specification, section 5.3). The crate does not,
 * and a flipped byte would give a picture with wrong colours.
 */
function checkChunks(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const types = ['IHDR', 'PLTE', 'tRNS', 'IDAT'];
  for (let at = 8; at + 12 <= bytes.length;) {
    const end = at + 8 + view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (types.includes(type) && crc32(bytes, at + 4, end) !== view.getUint32(end)) {
      throw new Error(`the checksum of its ${type} chunk is wrong`);
    }
    at = end + 4;
  }
}

let table: Int32Array | undefined;

/** CRC-32 of `bytes[begin, end)`, unsigned. */
function crc32(bytes: Uint8Array, begin: number, end: number): number {
  if (table === undefined) {
    table = new Int32Array(256);
    for (let i = 0; i < 256; i++) {
      let c = i;
      for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
      table[i] = c;
    }
  }
  let crc = -1;
  for (let i = begin; i < end; i++) crc = table[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
