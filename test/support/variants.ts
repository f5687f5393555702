/** Variants of the WGSL kernels that belong together, for tests that force them. */
import type { WebGpuOptions } from '../../packages/core/src/backends/webgpu/index.ts';

type Variants = NonNullable<WebGpuOptions['variants']>;

export const free: Variants = {
  linear_gemv: 'row',
  linear_gemv_split: 'row',
  linear_gemm: 'block',
  norm: 'row',
  attention: 'row',
  attention_step: 'row',
  cross_attention: 'row',
  argmax: 'row',
};

export const workgroup: Variants = {
  linear_gemv: 'workgroup',
  linear_gemv_split: 'workgroup',
  linear_gemm: 'tile',
  norm: 'workgroup',
  attention: 'tile',
  attention_step: 'workgroup',
  cross_attention: 'workgroup',
  argmax: 'workgroup',
};

export const subgroup: Variants = {
  ...workgroup,
  linear_gemv: 'subgroup',
  linear_gemv_split: 'subgroup',
  norm: 'subgroup',
};

/** f16 operands where there are kernels for them. */
export const halves: Variants = { ...subgroup, linear_gemm: 'tile_f16' };
