/**
 * Hostile little programs, at least one for each kernel and each value of its options: sides just past the kernels' tiles,
 * sums that cancel, values of all sizes, all inputs and weights made from a fixed seed. The ops decide what is allowed.
 */
import type { WeightFormat } from '../../../backend/index.ts';
import * as ops from '../../../ops/index.ts';
import type { Activation, Tensor, WeightRef } from '../../../ops/index.ts';
import type { KernelName } from '../shader.ts';
import type { Builder, Filling } from './builder.ts';
import type { Case } from './case.ts';
import { attentionCases } from './cases_attention.ts';
import { WEIGHT } from './weights.ts';

/** Linears of more rows are matrix products. */
const GEMV_ROWS = 3;
const GROUPS: Readonly<Record<WeightFormat, number>> = { q4: 64, q8: 32, f16: 0, f32: 0 };

/** Checks a linear's output by what its sums are made of, or by the sum of all sizes where they cancel. */
function checkLinear(b: Builder, x: Tensor, k: number, y: Tensor, cancels = false): void {
  const size = cancels ? b.largest(x) * k : b.length(x);
  b.check(y, x.rows > GEMV_ROWS ? b.gemm : ops.linearTolerance, k, size * WEIGHT);
}

/** `rows` against one matrix, for every filling of x; bias, residual and activation in the first. */
function linears(
  b: Builder,
  w: WeightRef,
  rows: number,
  act: Activation,
  fillings: readonly Filling[] = ['normal', 'mixed', 'alternating', 'tiny'],
): void {
  fillings.forEach((filling, i) => {
    const x = b.input(rows, w.k, filling);
    const extra = i === 0 ? { bias: b.vector(w.n), residual: b.input(rows, w.n) } : {};
    const y = ops.linear(b.recorder, x, w, { ...extra, act, y: b.output(rows, w.n) });
    checkLinear(b, x, w.k, y, filling === 'alternating');
  });
}

function gemv(format: WeightFormat, act: Activation, norm: 'none' | 'rms' | 'layer', atLoad = false): Case {
  return {
    kernel: 'linear_gemv',
    atLoad,
    build(b) {
      const k = format === 'f32' ? 197 : 192;
      const w = b.matrix(75, k, format, GROUPS[format]);
      if (norm === 'none') {
        linears(b, w, 1, act, ['mixed', 'alternating', 'tiny']);
        linears(b, w, 3, act, ['normal']);
        return;
      }
      // As wide as a row of the model: its mean far from zero.
      const x = b.input(2, k, 'mixed');
      const scale = b.vector(k);
      const normed =
        norm === 'rms'
          ? ops.rmsNorm(b.recorder, x, scale, 1e-6, b.name())
          : ops.layerNorm(b.recorder, x, scale, b.vector(k), 1e-5, b.name());
      const y = ops.linear(b.recorder, normed, w, { act, y: b.output(2, w.n) });
      // Normed rows have the length sqrt(k), times a scale of size 1.
      const { base, growth } = ops.linearTolerance;
      const both = { base: base + ops.rmsNormTolerance.base, growth };
      b.check(y, both, k, Math.sqrt(k) * WEIGHT);
    },
  };
}

/** Gate, up and SwiGLU as one; q, k and v side by side. */
function gemvParts(format: WeightFormat): Case[] {
  const matrix = (b: Builder, n: number) => b.matrix(n, 192, format, GROUPS[format]);
  const pair: Case = {
    kernel: 'linear_gemv',
    atLoad: format === 'q4',
    build(b) {
      const x = b.input(1, 192);
      const normed = ops.rmsNorm(b.recorder, x, b.vector(192), 1e-6, b.name());
      const [gate, up] = [matrix(b, 70), matrix(b, 70)].map((w) => ops.linear(b.recorder, normed, w));
      const y = ops.swiglu(b.recorder, gate, up, b.tap());
      const { base, growth } = ops.linearTolerance;
      // Two sums meet, each with its error.
      const two = { base: 2 * base + ops.activationTolerance.base, growth: 2 * growth };
      b.check(y, two, 192, 192 * WEIGHT ** 2);
    },
  };
  const parts: Case = {
    kernel: 'linear_gemv',
    build(b) {
      const x = b.input(1, 192);
      // One after the other, or they are not joined.
      const parts = [40, 9, 17].map((n) => ops.linear(b.recorder, x, matrix(b, n), { name: b.name() }));
      for (const y of parts) {
        const out = b.output(1, y.cols);
        ops.copy(b.recorder, y, out);
        checkLinear(b, x, 192, out);
      }
    },
  };
  return [pair, parts];
}

function gemm(kernel: KernelName, format: WeightFormat, act: Activation, atLoad = false): Case {
  return {
    kernel,
    atLoad,
    build(b) {
      const k = format === 'f32' ? 77 : 192;
      const w = b.matrix(75, k, format, GROUPS[format]);
      linears(b, w, 70, act, ['normal']);
      // Large values stay where f16 holds sums of a few products.
      linears(b, w, 5, act, ['mixed', 'alternating', 'tiny', 'large']);
    },
  };
}

/** One row of more columns than a chunk of the split kernel has; two at once behind windows of one grid. */
function split(format: WeightFormat, act: Activation, kernel: KernelName = 'linear_gemv_split'): Case {
  return {
    kernel,
    build(b) {
      const k = 8192 + 64;
      linears(b, b.matrix(37, k, format, GROUPS[format]), 1, act, ['normal', 'alternating']);
      const grid = b.input(49, 64);
      const sums = [3, 5].map((side) => {
        const window = ops.crop(b.recorder, grid, 7, side, b.name());
        const w = b.matrix(37, side * side * 64, format, GROUPS[format]);
        return ops.linear(b.recorder, window, w, { act, name: b.name() });
      });
      for (const y of sums) {
        const out = b.output(1, 37);
        ops.copy(b.recorder, y, out);
        b.check(out, ops.linearTolerance, 9 * 64, Math.sqrt(9 * 64) * WEIGHT);
      }
    },
  };
}

function norm(kind: 'rms' | 'layer'): Case {
  return {
    kernel: 'norm',
    atLoad: kind === 'rms',
    build(b) {
      for (const [rows, cols] of [
        [9, 197],
        [4, 33],
      ]) {
        const [w, bias] = [b.vector(cols), b.vector(cols)];
        for (const filling of ['normal', 'mixed', 'large'] as const) {
          const x = b.input(rows, cols, filling);
          const [y, tolerance] =
            kind === 'rms'
              ? [ops.rmsNorm(b.recorder, x, w, 1e-6, b.tap()), ops.rmsNormTolerance]
              : [ops.layerNorm(b.recorder, x, w, bias, 1e-5, b.tap()), ops.layerNormTolerance];
          b.check(y, tolerance);
        }
      }
    },
  };
}

function embed(format: WeightFormat): Case {
  return {
    kernel: 'embed',
    build(b) {
      const table = b.matrix(50, 192, format, GROUPS[format]);
      const y = ops.embed(b.recorder, b.ids(3, 49, 0, 17, 17), table, b.output(5, 192));
      b.check(y, ops.embedTolerance);
    },
  };
}

/** Around zero, where it bends, and where it is flat or would overflow. */
function activation(act: Activation): Case {
  return {
    kernel: 'activation',
    build(b) {
      const bends = b.input(1, 7, Float32Array.of(0, -0, 1e-40, 0.5, -0.5, 5.5, -5.5));
      const ends = b.input(1, 6, Float32Array.of(88, -88, 120, -120, 1e4, -1e4));
      for (const x of [b.input(3, 67), bends, ends]) {
        b.check(ops.activation(b.recorder, x, act, b.tap()), ops.activationTolerance);
      }
    },
  };
}

function window(kind: 'crop' | 'pool'): Case {
  return {
    kernel: 'window',
    build(b) {
      for (const [grid, cols] of [
        [7, 33],
        [8, 4],
      ]) {
        const x = b.input(grid * grid, cols);
        for (const kernel of [1, 3, grid]) {
          const y = ops[kind](b.recorder, x, grid, kernel, b.tap());
          b.check(y, kind === 'crop' ? ops.cropTolerance : ops.poolTolerance);
        }
      }
    },
  };
}

const others: Case[] = [
  {
    kernel: 'swiglu',
    build(b) {
      const y = ops.swiglu(b.recorder, b.input(5, 67, 'mixed'), b.input(5, 67), b.tap());
      b.check(y, ops.activationTolerance);
    },
  },
  {
    kernel: 'patchify',
    build(b) {
      const y = ops.patchify(b.recorder, b.input(1, 3 * 20 * 20), 3, 4, 5);
      const out = b.output(y.rows, y.cols);
      ops.copy(b.recorder, y, out);
      b.check(out, ops.patchifyTolerance);
    },
  },
  {
    kernel: 'assemble_cls',
    build(b) {
      for (const cls of [b.vector(33), null]) {
        const pos = b.vector((cls ? 17 : 16) * 33);
        b.check(ops.assembleCls(b.recorder, b.input(16, 33), cls, pos, b.tap()), ops.assembleClsTolerance);
      }
    },
  },
  {
    kernel: 'take',
    build(b) {
      const y = b.output(6, 33);
      ops.take(b.recorder, b.input(9, 33), b.ids(8, 0, 3, 3, 900, 1), y);
      b.check(y, ops.takeTolerance);
    },
  },
  {
    kernel: 'unfold',
    build(b) {
      for (const stride of [1, 2]) {
        b.check(ops.unfold(b.recorder, b.input(49, 9), 7, 3, stride, b.tap()), ops.unfoldTolerance);
      }
    },
  },
];

export const cases: readonly Case[] = [
  gemv('q4', 'none', 'none', true),
  gemv('q4', 'silu', 'rms'),
  gemv('q8', 'gelu', 'layer'),
  gemv('q8', 'quick_gelu', 'none'),
  gemv('f16', 'gelu_tanh', 'rms'),
  gemv('f32', 'none', 'layer'),
  gemv('f32', 'silu', 'none'),
  ...gemvParts('q4'),
  gemvParts('f16')[0],
  split('q4', 'none'),
  split('q8', 'gelu'),
  split('f16', 'quick_gelu'),
  split('f32', 'gelu_tanh'),
  split('q4', 'silu', 'linear_reduce'),
  gemm('linear_gemm', 'q4', 'none', true),
  gemm('linear_gemm', 'q8', 'gelu'),
  gemm('linear_gemm', 'f16', 'quick_gelu'),
  gemm('linear_gemm', 'f32', 'gelu_tanh'),
  gemm('linear_gemm', 'q4', 'silu'),
  gemm('linear_gemm_int8', 'q4', 'none', true),
  gemm('linear_gemm_int8', 'q8', 'gelu'),
  gemm('quantize_q8', 'q8', 'none'),
  norm('rms'),
  norm('layer'),
  embed('q4'),
  embed('q8'),
  embed('f16'),
  embed('f32'),
  ...attentionCases,
  ...(['none', 'gelu', 'quick_gelu', 'gelu_tanh', 'silu', 'relu'] as const).map(activation),
  window('crop'),
  window('pool'),
  ...others,
];
