import type { Command } from '../../ops/index.ts';
import { ACTIVATION_CODE, FORMAT_CODE } from './commands.ts';
import type { Lowering } from './lowering.ts';
import { selectLinear } from './select/linear.ts';

const BYTES = 4;

/** Appends the kernel calls of one command. */
export function lower(l: Lowering, command: Command): void {
  switch (command.op) {
    case 'linear':
      return linear(l, command);
    case 'layer_norm':
    case 'rms_norm':
      return norm(l, command);
    case 'embed':
      return embed(l, command);
    case 'rotary':
      return rotary(l, command);
    case 'kv_write':
      return kvWrite(l, command);
    case 'attention_cached':
      return attentionCached(l, command);
    case 'attention':
      return attention(l, command);
    case 'cross_attention':
      return crossAttention(l, command);
    case 'activation':
    case 'swiglu':
      return elementwise(l, command);
    case 'copy': {
      const { x, y } = command;
      l.whole(x, y);
      l.step('copy', { ...l.view('y', y), ...l.view('x', x), rows: x.rows, cols: x.cols });
      return;
    }
    case 'take': {
      const { table, ids, y } = command;
      l.whole(ids);
      l.whole(table, y);
      const views = { ...l.view('y', y), ...l.view('table', table), ids: l.at(ids) };
      l.step('take', { ...views, rows: y.rows, cols: y.cols, n: table.rows });
      return;
    }
    case 'patchify': {
      const { pixels, y, channels, grid, patch } = command;
      l.whole(pixels, y);
      const args = {
        y: l.dense(y),
        pixels: l.dense(pixels),
        channels,
        grid_h: grid,
        grid_w: grid,
        patch,
      };
      l.step('patchify', args);
      return;
    }
    case 'assemble_cls': {
      const { patches, cls, pos, y } = command;
      l.whole(patches, y);
      const tables = { cls: cls ? l.context.weight(cls).at : 0, pos: l.context.weight(pos).at };
      l.step('assemble_cls', {
        y: l.dense(y),
        patches: l.dense(patches),
        p: patches.rows,
        c: patches.cols,
        ...tables,
      });
      return;
    }
    case 'crop':
    case 'pool': {
      const { x, y, grid, kernel } = command;
      l.whole(x, y);
      l.step(command.op, { y: l.dense(y), ...l.view('x', x), grid, k: kernel, c: x.cols });
      return;
    }
    case 'unfold': {
      const { x, y, grid, kernel, stride } = command;
      l.whole(x, y);
      l.step('unfold', {
        y: l.dense(y),
        ...l.view('x', x),
        grid,
        k: kernel,
        stride,
        c: x.cols,
      });
      return;
    }
    default:
      command satisfies never;
  }
}

function linear(l: Lowering, { x, w, bias, residual, act, y }: Extract<Command, { op: 'linear' }>): void {
  const weight = l.context.weight(w);
  const { starts, format, group } = weight;
  l.whole(x);
  if (residual) l.wholeUnless(residual, starts);
  l.beforeWrite(y);
  const { begin, width } = l.own(starts);
  if (width > 0) {
    const quantised = format === 'q4' || format === 'q8';
    const kernel = selectLinear(format, x.rows, l.context.choice);
    const biasAt = bias ? l.context.weight(bias).at + begin * BYTES : 0;
    const common = {
      y: l.at(y, begin),
      ldy: y.ld,
      w: weight.at,
      bias: biasAt,
      res: residual ? l.at(residual, begin) : 0,
      ldres: residual?.ld ?? 0,
      rows: x.rows,
      n: width,
      k: w.k,
      act: ACTIVATION_CODE[act],
    };
    const input = quantised ? { q: l.quantise(x), group } : l.view('x', x);
    l.push({ kernel, args: { ...common, ...input } });
  }
  l.written(y);
  l.markSplit(y, starts);
}

function norm(l: Lowering, command: Extract<Command, { op: 'layer_norm' | 'rms_norm' }>): void {
  const { x, w, y, eps } = command;
  l.whole(x, y);
  const common = {
    ...l.view('y', y),
    ...l.view('x', x),
    w: l.context.weight(w).at,
    rows: x.rows,
    cols: x.cols,
    eps,
  };
  if (command.op === 'layer_norm') l.step('layer_norm', { ...common, b: l.context.weight(command.b).at });
  else l.step('rms_norm', common);
}

function embed(l: Lowering, { ids, w, y }: Extract<Command, { op: 'embed' }>): void {
  const { at, format, group, starts } = l.context.weight(w);
  l.whole(ids, y);
  const { begin, width } = l.own(starts);
  if (width > 0) {
    l.step('embed', {
      ...l.view('y', y),
      ids: l.at(ids),
      w: at,
      format: FORMAT_CODE[format],
      rows: ids.rows,
      n: width,
      k: w.k,
      group,
      row0: begin,
    });
  }
  l.gatherRows(y, ids, starts);
}

function rotary(l: Lowering, { x, heads, headDim, theta }: Extract<Command, { op: 'rotary' }>): void {
  const split = l.findSplit(x);
  const aligned = split?.starts.every((start) => start % headDim === 0);
  if (!aligned) l.whole(x);
  const { begin, width } = aligned && split ? l.own(split.starts) : { begin: 0, width: heads * headDim };
  if (width > 0) {
    l.step('rotary', {
      ...l.view('x', x, begin),
      rows: x.rows,
      heads: width / headDim,
      d: headDim,
      inv_freq: l.context.constant(
        `rotary ${headDim} ${theta}`,
        () => inverseFrequencies(headDim, theta),
        'f32',
      ),
      pos: l.context.pos,
    });
  }
  l.changed(x);
}

function kvWrite(l: Lowering, { k, v, cache }: Extract<Command, { op: 'kv_write' }>): void {
  const { heads, starts } = l.heads(cache.kvHeads, cache.headDim);
  l.wholeUnless(k, starts);
  l.wholeUnless(v, starts);
  const { begin } = l.own(starts);
  const resident = l.context.cache(cache);
  if (heads === 0) return;
  l.step('kv_write', {
    cache_k: resident.keys,
    cache_v: resident.values,
    ...l.view('k', k, begin),
    ...l.view('v', v, begin),
    rows: k.rows,
    kv_heads: heads,
    d: cache.headDim,
    ctx: resident.context,
    pos: l.context.pos,
  });
}

function attentionCached(
  l: Lowering,
  { q, cache, heads, y }: Extract<Command, { op: 'attention_cached' }>,
): void {
  const { kvHeads, headDim } = cache;
  const perKv = heads / kvHeads;
  const kv = l.heads(kvHeads, headDim);
  const starts = kv.starts.map((start) => start * perKv);
  l.wholeUnless(q, starts);
  l.beforeWrite(y);
  const { begin, width } = l.own(starts);
  if (width > 0) {
    const resident = l.context.cache(cache);
    l.step('attention_cached', {
      ...l.view('y', y, begin),
      ...l.view('q', q, begin),
      cache_k: resident.keys,
      cache_v: resident.values,
      rows: q.rows,
      heads: width / headDim,
      kv_heads: kv.heads,
      d: headDim,
      ctx: resident.context,
      pos: l.context.pos,
      scale: 1 / Math.sqrt(headDim),
      scratch: l.temporary(l.context.attentionScratchBytes(q.rows, headDim)),
    });
  }
  l.written(y);
  l.markSplit(y, starts);
}

function attention(l: Lowering, { q, k, v, heads, y }: Extract<Command, { op: 'attention' }>): void {
  const d = q.cols / heads;
  const { starts, heads: own } = l.heads(heads, d);
  for (const t of [q, k, v]) l.wholeUnless(t, starts);
  l.beforeWrite(y);
  const { begin } = l.own(starts);
  if (own > 0) {
    l.step('attention', {
      ...l.view('y', y, begin),
      ...l.view('q', q, begin),
      ...l.view('k', k, begin),
      ...l.view('v', v, begin),
      rows: q.rows,
      heads: own,
      d,
      scale: 1 / Math.sqrt(d),
      scratch: l.temporary(l.context.attentionScratchBytes(q.rows, d)),
    });
  }
  l.written(y);
  l.markSplit(y, starts);
}

function crossAttention(l: Lowering, { q, k, v, map, y }: Extract<Command, { op: 'cross_attention' }>): void {
  for (const t of [q, k, v]) l.whole(t);
  l.written(y);
  l.written(map);
  l.step('cross_attention', {
    ...l.view('y', y),
    ...l.view('map', map),
    ...l.view('q', q),
    ...l.view('k', k),
    ...l.view('v', v),
    nq: q.rows,
    nk: k.rows,
    d: q.cols,
    dv: v.cols,
    scale: 1 / Math.sqrt(q.cols),
  });
}

function elementwise(l: Lowering, command: Extract<Command, { op: 'activation' | 'swiglu' }>): void {
  const inputs = command.op === 'activation' ? [command.x] : [command.gate, command.up];
  const { y } = command;
  const splits = inputs.map((t) => l.findSplit(t));
  const starts = splits.find((split) => split)?.starts ?? null;
  if (starts) inputs.forEach((t) => l.wholeUnless(t, starts));
  else inputs.forEach((t) => l.whole(t));
  l.beforeWrite(y);
  const { begin, width } = starts ? l.own(starts) : { begin: 0, width: y.cols };
  if (width > 0) {
    const common = { ...l.view('y', y, begin), rows: y.rows, cols: width };
    if (command.op === 'activation') {
      const act = ACTIVATION_CODE[command.act];
      l.step('activation', { ...common, ...l.view('x', command.x, begin), act });
    } else {
      l.step('swiglu', {
        ...common,
        gate: l.at(command.gate, begin),
        ldg: command.gate.ld,
        up: l.at(command.up, begin),
        ldu: command.up.ld,
      });
    }
  }
  l.written(y);
  if (starts) l.markSplit(y, starts);
}

function inverseFrequencies(headDim: number, theta: number): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
}
