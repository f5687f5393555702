// One WASM instance with the kernels, a bump allocator and typed commands: what the kernel bench needs and no more.
import { readFileSync } from 'node:fs';
import {
  kernels,
  type KernelArgs,
  type KernelName,
} from '../../packages/core/src/backends/wasm/kernels.gen.ts';

export type Variant = 'simd' | 'relaxed';

interface KernelExports {
  run(list: number, count: number): number;
  act_q8_bytes(rows: number, k: number): number;
  packed_bytes(format: number, n: number, k: number, group: number): number;
  attention_scratch_bytes(rows: number, d: number): number;
  kv_cache_bytes(kvHeads: number, d: number, ctx: number): number;
  __heap_base: WebAssembly.Global;
}

/** A command: a kernel and its arguments, by the names of wasm/kernels.inc. */
export type Command = { [K in KernelName]: readonly [K, KernelArgs[K]] }[KernelName];

export class Machine {
  readonly memory: WebAssembly.Memory;
  readonly exports: KernelExports;
  private top: number;

  constructor(variant: Variant) {
    const dir = process.env['LLAVA_SP_WASM'] ?? new URL('../../wasm/dist/', import.meta.url).pathname;
    const bytes = readFileSync(`${dir}/kernels.${variant}.wasm`);
    this.memory = new WebAssembly.Memory({ initial: 32, maximum: 65536 });
    const imports = { env: { memory: this.memory, exchange: () => {} } };
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
    this.exports = instance.exports as unknown as KernelExports;
    this.top = this.exports.__heap_base.value as number;
  }

  /** Address of `bytes` bytes on a 64-byte boundary; the memory grows as needed. */
  alloc(bytes: number): number {
    const at = Math.ceil(this.top / 64) * 64;
    this.top = at + bytes;
    const missing = this.top - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / 65536));
    return at;
  }

  bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, at, length);
  }

  /** `count` f32 in (-0.5, 0.5), seeded. */
  floats(count: number, seed = 1): number {
    const at = this.alloc(count * 4);
    const view = new Float32Array(this.memory.buffer, at, count);
    for (let i = 0; i < count; i++) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      view[i] = seed / 2 ** 32 - 0.5;
    }
    return at;
  }

  /** Writes a list and returns a call that runs it. */
  list(commands: readonly Command[]): () => void {
    const words: number[] = [];
    const bits = new DataView(new ArrayBuffer(4));
    for (const [name, args] of commands) {
      const { opcode, fields } = kernels[name];
      words.push(opcode, 2 + fields.length);
      for (const [field, kind] of fields) {
        const value = (args as Record<string, number>)[field];
        if (kind === 'F') bits.setFloat32(0, value);
        else bits.setUint32(0, value);
        words.push(bits.getUint32(0));
      }
    }
    const at = this.alloc(words.length * 4);
    new Uint32Array(this.memory.buffer, at, words.length).set(words);
    return () => {
      const bad = this.exports.run(at, commands.length);
      if (bad) throw new Error(`command ${bad - 1} was refused`);
    };
  }

  /** A packed matrix of random codes, and `copies` - 1 copies of it; format 0 f32, 1 f16, 2 q8, 3 q4. */
  weights(format: number, n: number, k: number, group: number, copies: number): number[] {
    const size = this.exports.packed_bytes(format, n, k, group);
    const all = Array.from({ length: copies }, () => this.alloc(size));
    const dst = all[0];
    const common = { dst, dtype: 0, n, k, row0: 0, rows: n };
    const mark = this.top;
    if (format < 2) {
      const x = this.floats(n * k);
      this.list([format === 0 ? ['repack_f32', { ...common, x }] : ['repack_f16', { ...common, x }]])();
    } else {
      const codes = this.floats((n * k) / (format === 2 ? 4 : 8));
      const scales = this.floats((n * k) / group, 2);
      const biases = this.floats((n * k) / group, 3);
      const args = { ...common, codes, scales, biases, group, shift: 8 };
      this.list([format === 2 ? ['repack_q8', args] : ['repack_q4', args]])();
    }
    this.top = mark;
    for (const copy of all.slice(1)) this.bytes(copy, size).set(this.bytes(dst, size));
    return all;
  }
}

/** Shortest time of one call in seconds, over at least `seconds` and 5 calls. The machine may be busy: the best call counts. */
export function best(call: () => void, seconds: number): number {
  let shortest = Infinity;
  const end = performance.now() + seconds * 1e3;
  for (let i = 0; i < 5 || performance.now() < end; i++) {
    const start = performance.now();
    call();
    shortest = Math.min(shortest, performance.now() - start);
  }
  return shortest / 1e3;
}
