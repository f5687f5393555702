/** One kernel call as data: what is bound, its parameters, how many workgroups. A list of these is a program on the device. */
import type { Arena } from './weights.ts';
import type { KernelName, Options } from './shader.ts';

/** What a binding points at; resolved to a buffer when bind groups are made. */
export type BufferRef =
  /** By index in the lowered program's storages. */
  | { readonly kind: 'storage'; readonly index: number }
  | { readonly kind: 'arena'; readonly arena: Arena }
  | { readonly kind: 'vectors' }
  | { readonly kind: 'cache'; readonly layer: number; readonly part: 'k' | 'v' }
  /** Cosines and sines of rotary positions. */
  | { readonly kind: 'angles'; readonly theta: number; readonly headDim: number }
  /** Stands in for an operand that is not there. Two bindings of one dispatch must not share a written one. */
  | { readonly kind: 'dummy'; readonly index: 0 | 1 };

export type Groups = readonly [number, number, number];

export interface Dispatch {
  readonly kernel: KernelName;
  readonly variant: string;
  readonly options: Options;
  /** By the names in variants.json; arrays are flat. */
  readonly params: Readonly<Record<string, number | readonly number[]>>;
  readonly bindings: readonly BufferRef[];
  /** Workgroups; some depend on the run's position. */
  readonly groups: Groups | ((pos: number) => Groups);
  /** Index of the fused step that it belongs to. */
  readonly step: number;
}

/** Most workgroups of one dimension, in every WebGPU. */
const MOST = 65535;

/** So many workgroups as a rectangle; kernels fold it back with `grid_x`. */
export function fold(workgroups: number): { grid_x: number; groups: Groups } {
  const x = Math.min(Math.max(workgroups, 1), MOST);
  return { grid_x: x, groups: [x, Math.ceil(workgroups / x), 1] };
}
