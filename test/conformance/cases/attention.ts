import type { RunOptions } from '../../../packages/core/src/backend/index.ts';
import {
  attention,
  attentionCached,
  colsOf,
  copy,
  crossAttention,
  kvWrite,
  linear,
  rotary,
  type Command,
} from '../../../packages/core/src/ops/index.ts';
import { largestMagnitude } from '../../support/tolerance.ts';
import type { Filling } from '../../support/values.ts';
import { caches, CaseBuilder, type Case } from '../case.ts';

/** Results are averages of v: their error is measured by its largest value, not by what the average comes to. */
function byValues(b: CaseBuilder): (command: Command) => number | undefined {
  const size = Math.max(...Object.values(b.inputs).map(largestMagnitude));
  return (c) => (c.op.includes('attention') ? size : undefined);
}

/** Fillings whose scores stay within some tens: past that a softmax is a comparison of two large, rounded sums. */
const fillings: Filling[] = ['normal', 'zeros', 'equal', 'alternating', 'subnormal', 'small'];

function bidirectional(): Case[] {
  const shapes = [
    [1, 1, 8],
    [2, 3, 4],
    [3, 2, 16],
    [4, 4, 32],
    [5, 5, 12],
    [7, 1, 64],
    [8, 16, 8],
    [9, 2, 80],
    [31, 3, 64],
    [33, 4, 24],
    [65, 2, 64],
    [145, 3, 48],
  ];
  return shapes.map(([rows, heads, d], i) => {
    const b = new CaseBuilder(`attention rows ${rows} heads ${heads} d ${d}`, 6000 + i);
    const [q, k, v] = fillings.slice(i % 3, (i % 3) + 3).map(() => b.input(rows, heads * d));
    copy(b.recorder, attention(b.recorder, q, k, v, heads, 'y'), b.output(rows, heads * d));
    const hostile = b.input(rows, heads * d, fillings[i % fillings.length]);
    copy(b.recorder, attention(b.recorder, hostile, hostile, v, heads, 'z'), b.output(rows, heads * d));
    // One fused tensor, as a qkv projection leaves it.
    const fused = b.input(rows, 3 * heads * d);
    const part = (j: number) => colsOf(fused, j * heads * d, heads * d);
    copy(b.recorder, attention(b.recorder, part(0), part(1), part(2), heads, 'f'), b.output(rows, heads * d));
    return b.finish({ label: (c) => c.op, yardstick: byValues(b) });
  });
}

function cross(): Case[] {
  const shapes = [
    [1, 1, 8],
    [6, 25, 32],
    [3, 49, 64],
    [7, 7, 5],
    [12, 121, 40],
    [6, 25, 512],
    [2, 2, 1],
  ];
  return shapes.map(([nq, nk, d], i) => {
    const b = new CaseBuilder(`cross_attention nq ${nq} nk ${nk} d ${d}`, 6100 + i);
    for (const filling of ['normal', fillings[i % fillings.length]] as const) {
      const [q, k, v] = [b.input(nq, d, filling), b.input(nk, d, filling), b.input(nk, d)];
      // y beside f in one tensor, as the DFI's result is.
      const joined = b.output(nq, 2 * d);
      copy(b.recorder, q, colsOf(joined, 0, d));
      crossAttention(b.recorder, q, k, v, b.output(nq, nk), colsOf(joined, d, d));
    }
    // Two heads as columns of wider tensors, with values of another width, into columns of y and of one map.
    const dv = d + 3;
    const [q, k, v] = [b.input(nq, 2 * d + 1), b.input(nk, 2 * d), b.input(nk, 2 * dv)];
    const [maps, y] = [b.output(nq, 2 * nk), b.output(nq, 2 * dv)];
    for (const head of [0, 1]) {
      const [own, ownV] = [head * d, head * dv];
      const map = colsOf(maps, head * nk, nk);
      const views = [colsOf(q, own + 1, d), colsOf(k, own, d), colsOf(v, ownV, dv)] as const;
      crossAttention(b.recorder, ...views, map, colsOf(y, ownV, dv));
    }
    return b.finish({ label: (c) => c.op, yardstick: byValues(b) });
  });
}

/** A prompt in one or two pieces, then token by token; every layer has another shape. */
function cached(): Case[] {
  const pieces = [
    [1, 1, 1, 4],
    [5, 1, 1, 33],
    [33, 8, 1, 1],
    [17, 16, 1, 90],
    [64, 1, 65, 1],
    [9, 1, 7, 2],
    [31, 1, 1],
    [3, 1, 9],
  ];
  return caches.flatMap((cache, i) => {
    const { kvHeads, headDim } = cache;
    let pos = 0;
    return pieces[i].map((rows, piece) => {
      const heads = kvHeads * [1, 2, 7, 4][(i + piece) % 4];
      const name = `attention_cached layer ${i}: rows ${rows} at ${pos}, heads ${heads}/${kvHeads} d ${headDim}`;
      const b = new CaseBuilder(name, 6200 + 10 * i + piece);
      const [q, k, v] = [heads, kvHeads, kvHeads].map((h) => b.input(rows, h * headDim));
      kvWrite(b.recorder, k, v, b.recorder.cache(cache));
      copy(b.recorder, attentionCached(b.recorder, q, cache, heads, 'y'), b.output(rows, heads * headDim));
      const runs: RunOptions[] = [{ inputs: b.inputs, pos }];
      pos += rows;
      return b.finish({ label: (c) => c.op, yardstick: byValues(b), runs });
    });
  });
}

/** From weights split by heads through rotary and the cache, all of it split, to the gather in front of the last linear. */
function decoderLayers(): Case[] {
  return caches.slice(1, 4).map((cache, i) => {
    const { kvHeads, headDim } = cache;
    const heads = 2 * kvHeads;
    const b = new CaseBuilder(`decoder attention layer ${cache.layer}`, 6400 + i);
    const x = b.input(3, 24);
    const project = (count: number, name: string) => {
      const w = b.matrix(count * headDim, 24, { format: 'f32' }, { units: count, filling: 'normal' });
      return linear(b.recorder, x, w, { name });
    };
    const [q, k, v] = [project(heads, 'q'), project(kvHeads, 'k'), project(kvHeads, 'v')];
    rotary(b.recorder, q, heads, headDim, 10000);
    rotary(b.recorder, k, kvHeads, headDim, 10000);
    kvWrite(b.recorder, k, v, b.recorder.cache(cache));
    const y = attentionCached(b.recorder, q, cache, heads, 'y');
    linear(b.recorder, y, b.matrix(20, heads * headDim, { format: 'f32' }), { y: b.output(3, 20) });
    // Scores reach some hundreds here, and their rounding goes through the exponential: 1e-4 is 300 * 2^-24 * 5 ops.
    return b.finish({ label: 'chain: decoder attention', tolerance: () => 1e-4 });
  });
}

function rotaries(): Case[] {
  const shapes = [
    [1, 1, 2, 0],
    [3, 2, 4, 1],
    [2, 3, 8, 100],
    [9, 2, 20, 17],
    [5, 4, 64, 577],
    [1, 14, 64, 4095],
    [4, 1, 128, 32000],
    [2, 2, 80, 2047],
    [33, 3, 32, 0],
  ];
  return shapes.flatMap(([rows, heads, d, pos], i) =>
    [1e4, 1e6].map((theta, j) => {
      const b = new CaseBuilder(
        `rotary rows ${rows} heads ${heads} d ${d} at ${pos} theta ${theta}`,
        6500 + 10 * i + j,
      );
      const out = b.output(rows, heads * d + 5);
      const x = colsOf(out, 3, heads * d);
      copy(b.recorder, b.input(rows, heads * d), x);
      rotary(b.recorder, x, heads, d, theta);
      return b.finish({ label: 'rotary', runs: [{ inputs: b.inputs, pos }] });
    }),
  );
}

export const attentionCases = (): Case[] => [
  ...bidirectional(),
  ...cross(),
  ...cached(),
  ...decoderLayers(),
  ...rotaries(),
];
