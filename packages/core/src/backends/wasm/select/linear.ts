import type { WeightFormat } from '../../../backend/index.ts';

/** Kernel choices that depend on the engine that runs the WASM, found by a micro-benchmark at load. */
export interface KernelChoice {
  /** Which form of the q4 matrix-vector kernel is faster here. */
  q4Gemv: 'linear_q4_gemv' | 'linear_q4_gemv_dot4';
}

/** Below this many rows a matrix-vector kernel, which reads each weight once a row, beats packing tiles. */
const GEMM_ROWS = 4;

/** The kernel of a linear command, by weight format and rows of x. */
export function selectLinear(format: WeightFormat, rows: number, choice: KernelChoice) {
  const gemm = rows >= GEMM_ROWS;
  switch (format) {
    case 'f32':
      return gemm ? 'linear_f32_gemm' : 'linear_f32_gemv';
    case 'f16':
      return gemm ? 'linear_f16_gemm' : 'linear_f16_gemv';
    case 'q8':
      return gemm ? 'linear_q8_gemm' : 'linear_q8_gemv';
    case 'q4':
      return gemm ? 'linear_q4_gemm' : choice.q4Gemv;
    default:
      return format satisfies never;
  }
}
