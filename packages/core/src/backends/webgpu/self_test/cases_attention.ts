import * as ops from '../../../ops/index.ts';
import type { KvCacheRef, Tensor } from '../../../ops/index.ts';
import type { Builder } from './builder.ts';
import { POSITION, type Case } from './case.ts';

const THETA = 10000;

/** A backend makes its caches once: those of all cases. */
export const caches: readonly KvCacheRef[] = [
  { layer: 0, kvHeads: 2, headDim: 24, context: 96 },
  { layer: 1, kvHeads: 2, headDim: 64, context: 96 },
  { layer: 2, kvHeads: 1, headDim: 128, context: 96 },
  { layer: 3, kvHeads: 1, headDim: 160, context: 96 },
];

/** Averages of v: their error is measured by its largest value. */
const SIZE = 4;

/** Bidirectional; then scores far beyond what exp can take, in numbers that any order of adding gets exactly. */
function bidirectional(headDim: number): Case {
  return {
    kernel: 'attention',
    build(b) {
      const [rows, heads] = [37, 2];
      const cols = heads * headDim;
      const [q, k, v] = [0, 1, 2].map(() => b.input(rows, cols));
      b.check(ops.attention(b.recorder, q, k, v, heads, b.tap()), ops.attentionTolerance, rows, SIZE);
      const large = (step: number) =>
        b.input(
          rows,
          cols,
          Float32Array.from({ length: rows * cols }, () => 8 + step * Math.floor(b.uniform() * 2)),
        );
      const y = ops.attention(b.recorder, large(0), large(0.25), v, heads, b.tap());
      // Scores of a thousand: the scale alone is rounded, by half an ulp of f32.
      const scores = 8 * 8.25 * Math.sqrt(headDim) * 2 ** -24;
      const { base, growth } = ops.attentionTolerance;
      b.check(y, { base: base + scores, growth }, rows, SIZE);
    },
  };
}

function fill(b: Builder, cache: KvCacheRef): void {
  const width = cache.kvHeads * cache.headDim;
  ops.kvWrite(b.recorder, b.input(POSITION, width), b.input(POSITION, width), b.cache(cache));
}

/** Rows behind a cache that is filled, keys turned and written on the way. */
function cached(kernel: 'attention' | 'kv_write', cache: KvCacheRef, turned: boolean, atLoad = false): Case {
  return {
    kernel,
    atLoad,
    before: (b) => fill(b, cache),
    build(b) {
      const { kvHeads, headDim } = cache;
      const [rows, heads] = [19, 2];
      const [q, k] = [b.scratch(rows, heads * headDim), b.scratch(rows, kvHeads * headDim)];
      const v = b.input(rows, kvHeads * headDim);
      if (turned) {
        ops.rotary(b.recorder, q, heads, headDim, THETA);
        ops.rotary(b.recorder, k, kvHeads, headDim, THETA);
      }
      ops.kvWrite(b.recorder, k, v, b.cache(cache));
      const y = ops.attentionCached(b.recorder, q, cache, heads, b.tap());
      b.check(y, turned ? withRotary : ops.attentionTolerance, POSITION + rows, SIZE);
    },
  };
}

const withRotary = {
  // Scores come to a few, and the turned q and k are off by rotary's tolerance each.
  base: ops.attentionTolerance.base + 2 * ops.rotaryTolerance.base,
  growth: ops.attentionTolerance.growth,
};

/** One row; `joined`: q, k and v from one dispatch, turned and written by the kernel itself. */
function step(kernel: Case['kernel'], cache: KvCacheRef, joined: boolean, atLoad = false): Case {
  return {
    kernel,
    atLoad,
    before: (b) => fill(b, cache),
    build(b) {
      const { kvHeads, headDim } = cache;
      const heads = 2;
      // Projections come to about 1, so that the scores stay where a softmax is more than a comparison.
      const values = Float32Array.from({ length: 64 }, () => 0.7 * b.uniform() - 0.35);
      const x = b.input(1, 64, values);
      const project = (n: number): Tensor =>
        joined
          ? ops.linear(b.recorder, x, b.matrix(n * headDim, 64, 'f32'), { name: b.name() })
          : b.scratch(1, n * headDim);
      const [q, k, v] = [project(heads), project(kvHeads), project(kvHeads)];
      if (joined) {
        ops.rotary(b.recorder, q, heads, headDim, THETA);
        ops.rotary(b.recorder, k, kvHeads, headDim, THETA);
      }
      ops.kvWrite(b.recorder, k, v, b.cache(cache));
      const y = ops.attentionCached(b.recorder, q, cache, heads, b.tap());
      const base = withRotary.base + 2 * ops.linearTolerance.base;
      const tolerance = joined ? { base, growth: withRotary.growth } : ops.attentionTolerance;
      b.check(y, tolerance, POSITION + 1, SIZE);
    },
  };
}

/** The map, then map v; more keys than a workgroup has invocations. */
const cross: Case = {
  kernel: 'cross_attention',
  build(b) {
    for (const [queries, keys, width, wide] of [
      [6, 145, 64, 40],
      [3, 7, 33, 33],
    ]) {
      const [q, k, v] = [b.input(queries, width), b.input(keys, width), b.input(keys, wide)];
      const [map, y] = [b.output(queries, keys), b.output(queries, wide)];
      ops.crossAttention(b.recorder, q, k, v, map, y);
      b.check(map, ops.crossAttentionTolerance, keys);
      b.check(y, ops.crossAttentionTolerance, keys, SIZE);
    }
  },
};

const rotary: Case = {
  kernel: 'rotary',
  before: (b) => fill(b, caches[0]),
  build(b) {
    const y = b.output(5, 3 * 24);
    ops.copy(b.recorder, b.input(5, 3 * 24), y);
    ops.rotary(b.recorder, y, 3, 24, THETA);
    b.check(y, ops.rotaryTolerance);
  },
};

export const attentionCases: readonly Case[] = [
  bidirectional(32),
  bidirectional(64),
  bidirectional(80),
  bidirectional(160),
  cached('attention', caches[0], false),
  cached('attention', caches[1], true, true),
  cached('attention', caches[2], false),
  cached('attention', caches[3], true),
  cached('kv_write', caches[0], false),
  cached('kv_write', caches[1], true),
  step('attention_step', caches[0], true),
  step('attention_step', caches[1], true, true),
  step('attention_step', caches[2], false),
  step('attention_step', caches[3], true),
  step('attention_combine', caches[1], false),
  cross,
  rotary,
];
