/** Linears: matrix-vector for few rows, in chunks for one long row, matrix-matrix for many. */
import type { Activation, Tensor } from '../../ops/index.ts';
import { fold, type BufferRef } from './dispatch.ts';
import type { Norm, Part, Step } from './fuse.ts';
import { DUMMY, NONE, VECTORS, of, view, type Lowering } from './lowering.ts';
import type { Arena, Matrix, Tile } from './weights.ts';

/** One row against few but long rows of weights is cut into chunks: the rows alone would not fill a GPU. */
const SPLIT_K = 8192;
const SPLIT_N = 1024;
/** Columns of a chunk. */
const CHUNK = 4096;
/** Parts of one dispatch of linear_gemv_split. */
const MOST_PARTS = 16;

type Of<Kind extends Step['kind']> = Extract<Step, { kind: Kind }>;

interface Job {
  readonly x: Tensor;
  readonly norm?: Norm;
  readonly part: Part;
  readonly act: Activation;
  readonly residual?: Tensor;
  readonly y: Tensor;
}

export function lowerLinear(l: Lowering, step: Of<'linear'>): void {
  const { x, norm, parts, pair, act, residual, y } = step;
  const matrices = parts.map(({ w }) => l.context.matrix(w));
  if (parts.length === 1) return lowerJob(l, { x, norm, part: parts[0], act, residual, y });
  const arena = matrices[0].tiles[0].arena;
  if (matrices.every(({ tiles }) => tiles.length === 1 && tiles[0].arena === arena)) {
    const tiles = matrices.map(({ tiles }) => tiles[0]);
    return emitGemv(l, { x, norm, parts, matrices, tiles, pair, act, y });
  }
  // Too large to lie in one binding together.
  if (pair) {
    const [gate, up] = parts.map((part) => {
      const out = l.scratch(part.w.name, y.rows, y.cols);
      lowerJob(l, { x, norm, part, act: 'none', y: out });
      return out;
    });
    const params = { rows: y.rows, cols: y.cols, ...view('gate', gate), ...view('up', up), ...view('y', y) };
    return l.emitFlat('swiglu', {}, y.rows * y.cols, params, [of(gate), of(up), of(y)]);
  }
  let offset = y.offset;
  for (const part of parts) {
    lowerJob(l, { x, norm, part, act, y: { ...y, offset, cols: part.w.n } });
    offset += part.w.n;
  }
}

function lowerJob(l: Lowering, job: Job): void {
  const { norm, part, act, y } = job;
  const matrix = l.context.matrix(part.w);
  const { rows } = job.x;
  const { gemvRows } = l.context.selection;
  const x = l.readable(job.x, y);
  const residual = job.residual && !sameView(job.residual, y) ? l.readable(job.residual, y) : job.residual;
  if (rows === 1 && part.w.k >= SPLIT_K && part.w.n <= SPLIT_N && !norm)
    return lowerLinears(l, [{ ...job, x, residual }]);
  const int8 =
    rows > gemvRows && l.context.selection.int8 && (matrix.format === 'q4' || matrix.format === 'q8');
  const rounded = int8 ? quantize(l, x) : null;
  for (const tile of matrix.tiles) {
    const cut = { ...y, offset: y.offset + tile.first, cols: tile.rows };
    const beside = residual && { ...residual, offset: residual.offset + tile.first, cols: tile.rows };
    if (rows <= gemvRows) {
      emitGemv(l, {
        x,
        norm,
        parts: [part],
        matrices: [matrix],
        tiles: [tile],
        pair: false,
        act,
        residual: beside,
        y: cut,
      });
    } else emitGemm(l, { x, rounded, part, matrix, tile, act, residual: beside, y: cut });
  }
}

interface Gemv {
  readonly x: Tensor;
  readonly norm?: Norm;
  readonly parts: readonly Part[];
  readonly matrices: readonly Matrix[];
  /** One a part, all in one arena. */
  readonly tiles: readonly Tile[];
  readonly pair: boolean;
  readonly act: Activation;
  readonly residual?: Tensor;
  readonly y: Tensor;
}

function emitGemv(
  l: Lowering,
  { norm, parts, matrices, tiles, pair, act, residual, y, ...rest }: Gemv,
): void {
  const x = l.readable(rest.x, y);
  const [{ format, group, ref }] = matrices;
  const options = { FORMAT: format, NORM: norm?.kind ?? 'none', PAIR: pair, ACT: act };
  const { name, variant } = l.variant('linear_gemv', options);
  const n = pair ? tiles[0].rows : tiles.reduce((sum, tile) => sum + tile.rows, 0);
  const { grid_x, groups } = fold(Math.ceil(n / l.constant(variant, 'ROWS')));
  const at = (i: number) => tiles[Math.min(i, tiles.length - 1)];
  const bias = (i: number): number => {
    const ref = parts[i]?.bias;
    return ref ? l.context.vector(ref) + tiles[i].first : NONE;
  };
  const params = {
    n,
    k: ref.k,
    group,
    grid_x,
    ...view('x', x),
    ...view('y', y),
    ...residualParams(residual, y),
    norm_w: norm ? l.context.vector(norm.w) : NONE,
    norm_b: norm?.b ? l.context.vector(norm.b) : NONE,
    eps: norm?.eps ?? 0,
    unit: matrices[0].unit,
    part_end_0: tiles[0].rows,
    part_end_1: tiles[0].rows + at(1).rows,
    w_0: at(0).codes / 16,
    w_1: at(1).codes / 16,
    w_2: at(2).codes / 16,
    s_0: at(0).scales / 4,
    s_1: at(1).scales / 4,
    s_2: at(2).scales / 4,
    bias_0: bias(0),
    bias_1: bias(1),
    bias_2: bias(2),
  };
  const bindings = [...weights(tiles[0].arena), VECTORS, of(x), residualBinding(residual, y), of(y)];
  l.emit('linear_gemv', name, options, params, bindings, [groups[0], groups[1], x.rows]);
}

interface Gemm {
  readonly x: Tensor;
  readonly rounded: { xq: Tensor; xs: Tensor } | null;
  readonly part: Part;
  readonly matrix: Matrix;
  readonly tile: Tile;
  readonly act: Activation;
  readonly residual?: Tensor;
  readonly y: Tensor;
}

function emitGemm(l: Lowering, { x, rounded, part, matrix, tile, act, residual, y }: Gemm): void {
  const kernel = rounded ? 'linear_gemm_int8' : 'linear_gemm';
  const options = { FORMAT: matrix.format, ACT: act };
  const { name, variant } = l.variant(kernel, options);
  const params = {
    rows: x.rows,
    n: tile.rows,
    k: matrix.ref.k,
    group: matrix.group,
    ...(rounded ? {} : view('x', x)),
    ...view('y', y),
    ...residualParams(residual, y),
    w_0: tile.codes / 16,
    s_0: tile.scales / 4,
    bias_0: part.bias ? l.context.vector(part.bias) + tile.first : NONE,
    unit: matrix.unit,
  };
  const inputs = rounded ? [of(rounded.xq), of(rounded.xs)] : [of(x)];
  const bindings = [...weights(tile.arena), VECTORS, ...inputs, residualBinding(residual, y), of(y)];
  const columns = Math.ceil(tile.rows / l.constant(variant, 'TN'));
  const rows = Math.ceil(x.rows / l.constant(variant, 'TM'));
  l.emit(kernel, name, options, params, bindings, [columns, rows, 1]);
}

function quantize(l: Lowering, x: Tensor): { xq: Tensor; xs: Tensor } {
  const xq = l.scratch('xq', x.rows, x.cols / 4);
  // Scale and scale times the codes' sum, of every 32 values.
  const xs = l.scratch('xs', x.rows, x.cols / 16);
  const params = { rows: x.rows, k: x.cols, ...view('x', x) };
  l.emitFlat('quantize_q8', {}, (x.rows * x.cols) / 32, params, [of(x), of(xq), of(xs)]);
  return { xq, xs };
}

/** Linears of one long row each: as few dispatches as arenas and formats allow, then one that adds up the chunks. */
export function lowerLinears(l: Lowering, jobs: readonly Job[]): void {
  const sets = new Map<string, { job: Job; matrix: Matrix; tile: Tile; index: number }[]>();
  const arenas = new Map<Arena, number>();
  jobs.forEach((given, index) => {
    const job = { ...given, x: l.readable(given.x, given.y) };
    const matrix = l.context.matrix(job.part.w);
    for (const tile of matrix.tiles) {
      if (!arenas.has(tile.arena)) arenas.set(tile.arena, arenas.size);
      const alone = job.residual ? index : -1;
      const { format, group, unit } = matrix;
      const key = [
        arenas.get(tile.arena),
        format,
        group,
        unit,
        tile.rows,
        job.x.storage,
        job.y.storage,
        job.act,
        alone,
      ];
      const set = sets.get(key.join()) ?? [];
      sets.set(key.join(), set);
      set.push({ job, matrix, tile, index });
    }
  });
  for (const set of sets.values()) {
    for (let i = 0; i < set.length; i += MOST_PARTS) emitSplit(l, set.slice(i, i + MOST_PARTS));
  }
}

function emitSplit(l: Lowering, set: readonly { job: Job; matrix: Matrix; tile: Tile }[]): void {
  const [{ job, matrix, tile }] = set;
  const { x, y, act } = job;
  const n = tile.rows;
  const options = { FORMAT: matrix.format };
  const { name, variant } = l.variant('linear_gemv_split', options);
  const blocks = Math.ceil(n / l.constant(variant, 'ROWS'));
  const parts: number[] = [];
  const sums: number[] = [];
  let [first, chunks] = [0, 0];
  for (const { job: own, matrix: w, tile: at } of set) {
    const count = Math.ceil(w.ref.k / CHUNK);
    parts.push(first, w.ref.k, at.codes / 16, at.scales / 4, own.x.offset, count, chunks * n, 0);
    const bias = own.part.bias ? l.context.vector(own.part.bias) + at.first : NONE;
    sums.push(chunks * n, count, bias, own.y.offset + at.first);
    first += blocks * count;
    chunks += count;
  }
  const partials = l.scratch('partials', chunks, n);
  const { grid_x, groups } = fold(first);
  const common = { count: set.length, n };
  l.emit(
    'linear_gemv_split',
    name,
    options,
    { ...common, group: matrix.group, chunk: CHUNK, grid_x, parts },
    [...weights(tile.arena), of(x), of(partials)],
    groups,
  );
  const residual = job.residual && { ...job.residual, offset: job.residual.offset + tile.first };
  const params = {
    ...common,
    unit: matrix.unit,
    ...residualParams(residual, { ...y, offset: y.offset + tile.first }),
    parts: sums,
  };
  const bindings = [of(partials), VECTORS, residualBinding(residual, y), of(y)];
  const wg = l.constant(l.variant('linear_reduce', { ACT: act }).variant, 'WG');
  const flat = l.fold(set.length * n, wg);
  l.emit(
    'linear_reduce',
    l.variant('linear_reduce', { ACT: act }).name,
    { ACT: act },
    params,
    bindings,
    flat.groups,
  );
}

/** An arena, as blocks of codes and as words of scales. */
export function weights(arena: Arena): BufferRef[] {
  return [
    { kind: 'arena', arena },
    { kind: 'arena', arena },
  ];
}

function residualParams(residual: Tensor | undefined, y: Tensor): Record<string, number> {
  if (!residual) return { residual_mode: 0, residual_offset: 0, residual_ld: 0 };
  const mode = residual.storage === y.storage ? 2 : 1;
  return { residual_mode: mode, ...view('residual', residual) };
}

function residualBinding(residual: Tensor | undefined, y: Tensor): BufferRef {
  return residual && residual.storage !== y.storage ? of(residual) : DUMMY;
}

function sameView(a: Tensor, b: Tensor): boolean {
  return a.storage === b.storage && a.offset === b.offset && a.ld === b.ld;
}
