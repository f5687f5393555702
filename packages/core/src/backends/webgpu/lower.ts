/** What each fused step becomes: kernels, their parameters and workgroups. */
import type { Command, KvCacheRef, Tensor } from '../../ops/index.ts';
import type { BufferRef } from './dispatch.ts';
import type { Fused, Step } from './fuse.ts';
import { lowerLinear, lowerLinears, weights } from './lower_linear.ts';
import { DUMMY, NONE, OTHER_DUMMY, VECTORS, of, view, Lowering } from './lowering.ts';
import type { Lowered, LoweringContext } from './lowering.ts';
import { kernels } from './shader.ts';

type Of<Kind extends Step['kind']> = Extract<Step, { kind: Kind }>;

/** The dispatches of a fused program, and its storages with those that the device needs besides. */
export function lower(fused: Fused, context: LoweringContext): Lowered {
  const l = new Lowering(fused.storages, context);
  fused.steps.forEach((step, i) => {
    l.beginStep(i);
    lowerStep(l, step);
  });
  return l.finish();
}

function lowerStep(l: Lowering, step: Step): void {
  switch (step.kind) {
    case 'linear':
      return lowerLinear(l, step);
    case 'linears':
      return lowerLinears(
        l,
        step.parts.map(({ x, w, bias, act, y, residual }) => ({ x, part: { w, bias }, act, residual, y })),
      );
    case 'windows':
      return lowerWindows(l, step);
    case 'rotary_kv_write':
      return lowerKvWrite(l, step, true);
    case 'rotary_attention':
      return lowerAttentionStep(l, step);
    case 'command':
      return lowerCommand(l, step.command);
    default:
      return step satisfies never;
  }
}

function lowerCommand(l: Lowering, command: Exclude<Command, { op: 'linear' }>): void {
  switch (command.op) {
    case 'layer_norm':
    case 'rms_norm':
      return lowerNorm(l, command);
    case 'embed': {
      const { ids, w, y } = command;
      const matrix = l.context.matrix(w);
      for (const tile of matrix.tiles) {
        const params = {
          rows: ids.rows,
          k: w.k,
          group: matrix.group,
          first: tile.first,
          last: tile.first + tile.rows,
          ids_offset: ids.offset,
          ...view('y', y),
          w_0: tile.codes / 16,
          s_0: tile.scales / 4,
          unit: matrix.unit,
        };
        const bindings = [...weights(tile.arena), of(ids), of(y)];
        l.emitFlat('embed', { FORMAT: matrix.format }, ids.rows * w.k, params, bindings);
      }
      return;
    }
    case 'take': {
      const { ids, y } = command;
      const x = l.readable(command.table, y);
      const bounds = { rows: y.rows, cols: y.cols, last: x.rows - 1, ids_offset: ids.offset };
      const params = { ...bounds, ...view('x', x), ...view('y', y) };
      return l.emitFlat('take', {}, y.rows * y.cols, params, [of(ids), of(x), of(y)]);
    }
    case 'rotary': {
      const { x, heads, headDim, theta } = command;
      const params = { rows: x.rows, heads, head_dim: headDim, ...view('x', x) };
      const bindings: BufferRef[] = [{ kind: 'angles', theta, headDim }, of(x)];
      return l.emitFlat('rotary', {}, (x.rows * heads * headDim) / 2, params, bindings);
    }
    case 'kv_write':
      return lowerKvWrite(l, { ...command, q: command.k, heads: 0, theta: 0 }, false);
    case 'attention_cached': {
      const { q, cache, heads, y } = command;
      if (q.rows === 1) return lowerAttentionStep(l, { q: l.readable(q, y), cache, heads, y });
      const width = cache.kvHeads * cache.headDim;
      const kv = { offset: 0, ld: width };
      const { headDim, kvHeads, layer } = cache;
      const [k, v] = caches(layer);
      return lowerAttention(
        l,
        { q: l.readable(q, y), kv: [kv, kv], heads, kvHeads, headDim, causal: true, y },
        k,
        v,
      );
    }
    case 'attention': {
      const { heads, y } = command;
      const [q, k, v] = [command.q, command.k, command.v].map((t) => l.readable(t, y));
      const headDim = q.cols / heads;
      const shape = { q, kv: [k, v] as const, heads, kvHeads: heads, headDim, causal: false, y };
      return lowerAttention(l, shape, of(k), of(v));
    }
    case 'cross_attention':
      return lowerCrossAttention(l, command);
    case 'activation': {
      const { act, y } = command;
      const x = l.readable(command.x, y);
      const params = { rows: x.rows, cols: x.cols, ...view('x', x), ...view('y', y) };
      return l.emitFlat('activation', { ACT: act }, x.rows * x.cols, params, [of(x), of(y)]);
    }
    case 'copy':
      return l.copy(l.readable(command.x, command.y), command.y);
    case 'swiglu': {
      const { y } = command;
      const [gate, up] = [l.readable(command.gate, y), l.readable(command.up, y)];
      const params = {
        rows: y.rows,
        cols: y.cols,
        ...view('gate', gate),
        ...view('up', up),
        ...view('y', y),
      };
      return l.emitFlat('swiglu', {}, y.rows * y.cols, params, [of(gate), of(up), of(y)]);
    }
    case 'patchify': {
      const { pixels, channels, grid, patch, y } = command;
      const params = { channels, grid, patch_size: patch, x_offset: pixels.offset, ...view('y', y) };
      return l.emitFlat('patchify', {}, y.rows * y.cols, params, [of(pixels), of(y)]);
    }
    case 'assemble_cls': {
      const { patches, cls, pos, y } = command;
      const x = l.readable(patches, y);
      const vectors = { cls: cls ? l.context.vector(cls) : NONE, positions: l.context.vector(pos) };
      const params = { rows: y.rows, cols: y.cols, ...view('x', x), ...view('y', y), ...vectors };
      return l.emitFlat('assemble_cls', {}, y.rows * y.cols, params, [of(x), VECTORS, of(y)]);
    }
    case 'crop':
    case 'pool': {
      const { op: window, x, grid, kernel, y } = command;
      return lowerWindows(l, { kind: 'windows', window, x, grid, parts: [{ kernel, y }] });
    }
    case 'unfold': {
      const { grid, kernel, stride, y } = command;
      const x = l.readable(command.x, y);
      const out = Math.floor((grid - kernel) / stride) + 1;
      const params = { grid, kernel, stride, out, cols: x.cols, ...view('x', x), ...view('y', y) };
      return l.emitFlat('unfold', {}, y.rows * y.cols, params, [of(x), of(y)]);
    }
    default:
      return command satisfies never;
  }
}

function lowerNorm(l: Lowering, command: Extract<Command, { op: 'layer_norm' | 'rms_norm' }>): void {
  const { y, w, eps } = command;
  const x = l.readable(command.x, y);
  const options = { NORM: command.op === 'rms_norm' ? 'rms' : 'layer' };
  const { name, variant } = l.variant('norm', options);
  const { grid_x, groups } = l.fold(x.rows, l.constant(variant, 'ROWS'));
  const params = {
    rows: x.rows,
    cols: x.cols,
    ...view('x', x),
    ...view('y', y),
    norm_w: l.context.vector(w),
    norm_b: command.op === 'layer_norm' ? l.context.vector(command.b) : NONE,
    eps,
    grid_x,
  };
  l.emit('norm', name, options, params, [of(x), VECTORS, of(y)], groups);
}

function lowerWindows(l: Lowering, { window, grid, parts, ...rest }: Of<'windows'>): void {
  const y = parts[0].y;
  const x = l.readable(rest.x, y);
  const places: number[] = [];
  let first = 0;
  for (const part of parts) {
    places.push(first, part.kernel, part.y.offset, 0);
    first += part.y.cols;
  }
  const params = { count: parts.length, grid, cols: x.cols, ...view('x', x), parts: places };
  l.emitFlat('window', { WINDOW: window }, first, params, [of(x), of(y)]);
}

function lowerKvWrite(
  l: Lowering,
  write: { q: Tensor; k: Tensor; v: Tensor; heads: number; theta: number; cache: KvCacheRef },
  rotary: boolean,
): void {
  const { q, k, v, heads, theta, cache } = write;
  const { kvHeads, headDim, layer } = cache;
  const { rows } = k;
  const params = {
    rows,
    heads,
    kv_heads: kvHeads,
    head_dim: headDim,
    ...view('q', q),
    ...view('k', k),
    ...view('v', v),
  };
  const angles: BufferRef = rotary ? { kind: 'angles', theta, headDim } : OTHER_DUMMY;
  const bindings = [angles, rotary ? of(q) : DUMMY, of(k), of(v), ...caches(layer)];
  const elements = rotary ? (rows * (heads + kvHeads) * headDim) / 2 : rows * kvHeads * headDim;
  l.emitFlat('kv_write', { ROTARY: rotary }, elements, params, bindings);
}

/** What a head's width fits into: arrays of kernels have fixed lengths. */
function dimOf(kernel: 'attention' | 'attention_step', headDim: number): number {
  const dims = kernels[kernel].options.DIM.map(Number);
  const dim = dims.find((candidate) => candidate >= headDim);
  if (dim === undefined) throw new Error(`heads of width ${headDim} are wider than any kernel`);
  return dim;
}

interface Attention {
  readonly q: Tensor;
  readonly kv: readonly [{ offset: number; ld: number }, { offset: number; ld: number }];
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly causal: boolean;
  readonly y: Tensor;
}

function lowerAttention(l: Lowering, shape: Attention, k: BufferRef, v: BufferRef): void {
  const { q, kv, heads, kvHeads, headDim, causal, y } = shape;
  const options = { CAUSAL: causal, DIM: dimOf('attention', headDim) };
  const { name, variant } = l.variant('attention', options);
  const params = {
    rows: q.rows,
    heads,
    kv_heads: kvHeads,
    head_dim: headDim,
    ...view('q', q),
    k_offset: kv[0].offset,
    k_ld: kv[0].ld,
    v_offset: kv[1].offset,
    v_ld: kv[1].ld,
    ...view('y', y),
    scale: 1 / Math.sqrt(headDim),
  };
  const blocks = Math.ceil(q.rows / l.constant(variant, 'QUERIES'));
  l.emit('attention', name, options, params, [of(q), k, v, of(y)], [blocks, heads, 1]);
}

/** One query; with `theta` it and the new key are turned, and the cache is written. */
function lowerAttentionStep(
  l: Lowering,
  step: { q: Tensor; k?: Tensor; v?: Tensor; heads: number; theta?: number; cache: KvCacheRef; y: Tensor },
): void {
  const { q, k = q, v = q, heads, theta, cache, y } = step;
  const { headDim, kvHeads, layer, context } = l.context.cache(cache);
  const options = { ROTARY: theta !== undefined, DIM: dimOf('attention_step', headDim) };
  const { name, variant } = l.variant('attention_step', options);
  const chunk = l.constant(variant, 'CHUNK');
  const partials = l.scratch('partials', Math.ceil(context / chunk) * heads, headDim + 2);
  const params = {
    heads,
    kv_heads: kvHeads,
    head_dim: headDim,
    q_offset: q.offset,
    k_offset: k.offset,
    v_offset: v.offset,
    scale: 1 / Math.sqrt(headDim),
  };
  const angles: BufferRef = theta === undefined ? OTHER_DUMMY : { kind: 'angles', theta, headDim };
  const perGroup = variant.set.SHAPE === 'row' ? l.constant(variant, 'WG') : 1;
  const across = Math.ceil(heads / perGroup);
  const bindings = [angles, of(q), ...caches(layer), of(partials)];
  l.emit('attention_step', name, options, params, bindings, (pos) => [
    Math.ceil((pos + 1) / chunk),
    across,
    1,
  ]);
  const join = { heads, head_dim: headDim, y_offset: y.offset, chunk };
  const combine = l.variant('attention_combine', {});
  const { groups } = l.fold(heads * headDim, l.constant(combine.variant, 'WG'));
  l.emit('attention_combine', combine.name, {}, join, [of(partials), of(y)], groups);
}

function lowerCrossAttention(l: Lowering, command: Extract<Command, { op: 'cross_attention' }>): void {
  const { map, y } = command;
  const [q, k, v] = [command.q, command.k, command.v].map((t) => l.readable(t, map, y));
  const { name, variant } = l.variant('cross_attention', {});
  const perGroup = variant.set.SHAPE === 'row' ? l.constant(variant, 'WG') : 1;
  const params = {
    queries: q.rows,
    keys: k.rows,
    width: q.cols,
    v_width: v.cols,
    ...view('q', q),
    ...view('k', k),
    ...view('v', v),
    ...view('map', map),
    ...view('y', y),
    scale: 1 / Math.sqrt(q.cols),
  };
  const bindings = [of(q), of(k), of(v), of(map), of(y)];
  l.emit('cross_attention', name, {}, params, bindings, [Math.ceil(q.rows / perGroup), 1, 1]);
}

function caches(layer: number): [BufferRef, BufferRef] {
  return [
    { kind: 'cache', layer, part: 'k' },
    { kind: 'cache', layer, part: 'v' },
  ];
}
