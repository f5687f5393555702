/** Which variant of each kernel runs on this adapter. */
import type { KernelName } from '../shader.ts';

export interface Selection {
  /** By kernel; a kernel with one variant need not be named. */
  readonly variants: Readonly<Partial<Record<KernelName, string>>>;
  /** Linears of at most so many rows are matrix-vector products. */
  readonly gemvRows: number;
  /** Quantised weights of more rows meet x rounded to int8. */
  readonly int8: boolean;
}
