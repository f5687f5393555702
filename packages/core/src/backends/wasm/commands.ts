import type { Activation } from '../../ops/index.ts';
import { kernels, type KernelArgs, type KernelName } from './kernels.gen.ts';

export type { KernelArgs, KernelName } from './kernels.gen.ts';

/** The kernels' numbering of activations (wasm/kernels.inc). */
export const ACTIVATION_CODE: Record<Activation, number> = {
  none: 0,
  gelu: 1,
  quick_gelu: 2,
  gelu_tanh: 3,
  silu: 4,
  relu: 5,
};

/** The kernels' numbering of weight formats. */
export const FORMAT_CODE = { f32: 0, f16: 1, q8: 2, q4: 3 } as const;

/** The kernels' numbering of stored element types. */
export const DTYPE_CODE = { F32: 0, F16: 1, BF16: 2 } as const;

/** An address that is known once scratch memory is laid out. */
export interface BufferAddress {
  /** Index of a buffer of the plan. */
  readonly buffer: number;
  /** Bytes from its start. */
  readonly offset: number;
}

export type Argument = number | BufferAddress;

/** A kernel call whose addresses may still be symbolic. */
export interface Step {
  readonly kernel: KernelName;
  readonly args: Readonly<Record<string, Argument>>;
}

/** Arguments of a kernel with addresses still symbolic. */
export type StepArgs<K extends KernelName> = { [F in keyof KernelArgs[K]]: Argument };

const floatBits = new DataView(new ArrayBuffer(4));

/** Words of one command: opcode, length, fields in the kernel's order. */
export function encode(step: Step, resolve: (address: BufferAddress) => number): number[] {
  const { opcode, fields } = kernels[step.kernel];
  const words = [opcode, fields.length + 2];
  for (const [name, kind] of fields) {
    const value = step.args[name];
    if (typeof value === 'number' && kind === 'F') {
      floatBits.setFloat32(0, value, true);
      words.push(floatBits.getUint32(0, true));
    } else if (typeof value === 'number') {
      words.push(value >>> 0);
    } else {
      words.push(resolve(value));
    }
  }
  return words;
}
