import * as ops from '../../packages/core/src/ops/index.ts';
import type { Command, OpName, Program, Tensor, Tolerance } from '../../packages/core/src/ops/index.ts';

export const tolerances: Record<OpName, Tolerance> = {
  linear: ops.linearTolerance,
  layer_norm: ops.layerNormTolerance,
  rms_norm: ops.rmsNormTolerance,
  embed: ops.embedTolerance,
  take: ops.takeTolerance,
  rotary: ops.rotaryTolerance,
  kv_write: ops.copyTolerance,
  attention_cached: ops.attentionTolerance,
  attention: ops.attentionTolerance,
  cross_attention: ops.crossAttentionTolerance,
  activation: ops.activationTolerance,
  swiglu: ops.activationTolerance,
  copy: ops.copyTolerance,
  patchify: ops.patchifyTolerance,
  assemble_cls: ops.assembleClsTolerance,
  crop: ops.cropTolerance,
  pool: ops.poolTolerance,
  unfold: ops.unfoldTolerance,
};

/** Terms of the longest sum in one output value. */
export function summedTerms(command: Command, pos: number): number {
  if (command.op === 'linear') return command.w.k;
  if (command.op === 'attention_cached') return pos + command.q.rows;
  if (command.op === 'attention' || command.op === 'cross_attention') return command.k.rows;
  return 1;
}

/** The largest error allowed, relative to the largest magnitude of the true output. */
export function allowed(command: Command, pos = 0): number {
  const { base, growth } = tolerances[command.op];
  return base + growth * Math.sqrt(summedTerms(command, pos));
}

/** The tensors that a command writes. */
export function written(command: Command): Tensor[] {
  if (command.op === 'kv_write') return [];
  if (command.op === 'rotary') return [command.x];
  if (command.op === 'cross_attention') return [command.map, command.y];
  return [command.y];
}

/**
 * Yardsticks end here: an activation's flat tail falls below f32's range (silu(-100) is -4e-42), where any number as
 * small is as good as the other. (e^-88, about 6e-39, is the smallest the kernels make.)
 */
const smallest = 1e-28;

export interface Difference {
  /** The largest and the mean absolute difference over the largest magnitude of `want`. */
  readonly largest: number;
  readonly mean: number;
  /** Where the largest is. A NaN in `got` alone counts as an infinite difference; a NaN in `want` is not compared. */
  readonly at: number;
}

/**
 * Compares values by the yardstick of the largest magnitude of `want`, or `size` where that is more: results that
 * cancel, or are few, may all be small by chance.
 */
export function difference(got: ArrayLike<number>, want: ArrayLike<number>, size = 0): Difference {
  if (got.length !== want.length) throw new RangeError(`${got.length} values, ${want.length} expected`);
  let largest = 0;
  let sum = 0;
  let at = 0;
  for (let i = 0; i < want.length; i++) {
    if (Number.isNaN(want[i])) continue;
    let off = Math.abs(got[i] - want[i]);
    if (Number.isNaN(off)) off = got[i] === want[i] ? 0 : Infinity;
    if (off > largest) {
      largest = off;
      at = i;
    }
    sum += off;
  }
  const unit = Math.max(largestMagnitude(want), size, smallest);
  return { largest: largest / unit, mean: sum / unit / want.length, at };
}

export function largestMagnitude(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) if (Math.abs(values[i]) > largest) largest = Math.abs(values[i]);
  return largest;
}

export function describe(program: Program, command: Command): string {
  const show = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if ('storage' in value) {
      const t = value as Tensor;
      return `${program.storages[t.storage].name}[${t.rows}x${t.cols} ld ${t.ld}]`;
    }
    if ('units' in value && 'name' in value && 'n' in value && 'k' in value) {
      return `${String(value.name)}[${String(value.n)}x${String(value.k)}]`;
    }
    return JSON.stringify(value);
  };
  const fields = Object.entries(command).filter(([key, value]) => key !== 'op' && value !== undefined);
  return `${command.op}(${fields.map(([key, value]) => `${key}=${String(show(value))}`).join(', ')})`;
}
