/** `convert.wasm` (wasm/convert): what is done to the values of a checkpoint. One instance a thread. */

/** As wasm/convert/convert.h numbers them. */
export const dtypes = { F32: 0, F16: 1, BF16: 2 } as const;

export interface Kernels {
  readonly memory: WebAssembly.Memory;
  /** Address of the first free byte, a multiple of 16. */
  readonly heap: number;
  /** Returns how many values are not finite. */
  toF32(src: number, dst: number, n: number, dtype: number): number;
  toF16(src: number, dst: number, n: number, stats: number): void;
  packA(a: number, panels: number, rank: number, cols: number): void;
  mergeLora(
    w: number,
    b: number,
    panels: number,
    scratch: number,
    scale: number,
    rows: number,
    cols: number,
    stride: number,
    rank: number,
  ): void;
  scaleRow(w: number, n: number, scale: number): void;
  cellsFirst(src: number, dst: number, channels: number, cells: number): void;
  quantise(
    w: number,
    rows: number,
    cols: number,
    stride: number,
    group: number,
    bits: number,
    tries: number,
    codes: number,
    scales: number,
    biases: number,
    stats: number,
  ): void;
  quantiseCalibrated(
    w: number,
    rows: number,
    cols: number,
    stride: number,
    group: number,
    bits: number,
    tries: number,
    factors: number,
    codes: number,
    scales: number,
    biases: number,
    stats: number,
  ): void;
}

export async function createKernels(wasm: Uint8Array<ArrayBuffer>): Promise<Kernels> {
  const { instance } = await WebAssembly.instantiate(wasm);
  // The names of wasm/convert; a build that lacks one is not this package's.
  const exports = instance.exports as unknown as Record<string, never> & {
    memory: WebAssembly.Memory;
    __heap_base: WebAssembly.Global<'i32'>;
  };
  return {
    memory: exports.memory,
    heap: Math.ceil(exports.__heap_base.value / 16) * 16,
    toF32: exports.to_f32,
    toF16: exports.to_f16,
    packA: exports.pack_a,
    mergeLora: exports.merge_lora,
    scaleRow: exports.scale_row,
    cellsFirst: exports.cells_first,
    quantise: exports.quantise,
    quantiseCalibrated: exports.quantise_calibrated,
  };
}
