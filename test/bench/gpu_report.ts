/** What a run of the benches on a GPU found, as JSON and as tables. */
import type { ConformanceFigures } from './gpu_conformance.ts';
import type { KernelFigure } from './gpu_kernels.ts';
import type { AdapterFigures, MachineFigures } from './gpu_open.ts';
import type { Roof, Size } from './gpu_roof.ts';
import type { KernelShare, ShapeFigures, Timed } from './gpu_shapes.ts';
import { columns } from './table.ts';

/** Figures by part. */
export interface PartFigures {
  readonly adapter: AdapterFigures;
  readonly roof: Roof;
  readonly kernels: readonly KernelFigure[];
  readonly conformance: readonly ConformanceFigures[];
  readonly [shape: `shape ${string}`]: ShapeFigures;
}

export type PartName = 'adapter' | 'roof' | 'kernels' | 'conformance' | `shape ${string}`;

export interface PartResult<T = unknown> {
  readonly seconds: number;
  /** What was found until the end, or until it broke off; null for nothing. */
  readonly figures: T | null;
  /** Why it broke off. */
  readonly error: string | null;
}

export interface Report {
  readonly version: 1;
  readonly date: string;
  readonly size: Size;
  readonly machine: MachineFigures;
  readonly parts: { readonly [Name in PartName]?: PartResult<PartFigures[Name]> };
  readonly summary: readonly SummaryRow[];
}

/** One figure, against the adapter's own best in the same run. */
export interface SummaryRow {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** Of the copy bandwidth, or of the best matrix rate. */
  readonly percent: number | null;
  readonly of: 'copy' | 'matrix' | null;
}

export function summarize(parts: Report['parts']): SummaryRow[] {
  const roof = parts.roof?.figures;
  const best = Math.max(...(roof?.matrix ?? []).map(({ gmacs }) => gmacs));
  const ofCopy = (gbs: number) =>
    ({ percent: roof ? (100 * gbs) / roof.copyGBs : null, of: 'copy' }) as const;
  const ofMatrix = (gmacs: number) =>
    ({ percent: best > 0 ? (100 * gmacs) / best : null, of: 'matrix' }) as const;
  const plain = { percent: null, of: null } as const;
  const rows: SummaryRow[] = [];
  if (roof) {
    rows.push({ what: 'copies, bytes read and written', value: roof.copyGBs, unit: 'GB/s', ...plain });
    for (const { kernel, variant, format, gmacs } of roof.matrix) {
      const what = `${kernel} ${variant}, ${format}, ${roof.side} x ${roof.side} x ${roof.side}`;
      rows.push({ what, value: gmacs, unit: 'GMAC/s', ...ofMatrix(gmacs) });
    }
  }
  for (const { name, ...figures } of shapesOf(parts)) {
    const { vision, prefill, decode } = figures;
    rows.push({ what: `${name}: load`, value: figures.load, unit: 'ms', ...plain });
    rows.push({ what: `${name}: GPU memory`, value: figures.memory.total / 1e6, unit: 'MB', ...plain });
    if (vision) {
      rows.push({ what: `${name}: vision`, value: vision.wall, unit: 'ms', ...plain });
      rows.push({ what: `${name}: vision, GPU clock`, value: vision.gpu, unit: 'ms', ...plain });
    }
    if (prefill) {
      const what = `${name}: prefill of ${prefill.tokens}`;
      rows.push({ what, value: prefill.wall, unit: 'ms', ...plain });
      rows.push({ what: `${what}, GPU clock`, value: prefill.gpu, unit: 'ms', ...plain });
    }
    if (decode) {
      const { tokensPerSecond: value, gbs, context } = decode;
      rows.push({ what: `${name}: decode at ${context}`, value, unit: 'tokens/s', ...ofCopy(gbs) });
      rows.push({ what: `${name}: decode step, GPU clock`, value: decode.gpu, unit: 'ms', ...plain });
    }
  }
  for (const { kernel, variant, format, rows: m, n, k, gbs, gmacs } of parts.kernels?.figures ?? []) {
    const what = `${kernel} ${variant}, ${format}, ${m} x ${n} x ${k}`;
    if (m === 1) rows.push({ what, value: gbs, unit: 'GB/s', ...ofCopy(gbs) });
    else rows.push({ what, value: gmacs, unit: 'GMAC/s', ...ofMatrix(gmacs) });
  }
  return rows;
}

/** The report for people. */
export function tables({ date, machine, parts, summary }: Report): string {
  const adapter = parts.adapter?.figures;
  const out = [
    `${date}, ${adapter ? adapter.description || adapter.device : 'no adapter'}, Node ${machine.node}`,
    columns([
      ['', 'figure', "of the adapter's own"],
      ...summary.map(({ what, value, unit, percent, of }) => [
        what,
        `${value.toPrecision(4)} ${unit}`,
        percent === null ? '' : `${percent.toFixed(0)} % of ${of}`,
      ]),
    ]),
  ];
  for (const { name, vision, prefill, decode } of shapesOf(parts)) {
    if (vision) out.push(kernelTable(`${name}: vision`, vision));
    if (prefill) out.push(kernelTable(`${name}: prefill`, prefill));
    if (decode) out.push(kernelTable(`${name}: a decode step`, decode));
  }
  const sets = parts.conformance?.figures ?? [];
  for (const { name, cases, failures } of sets) {
    out.push([`conformance, ${name}: ${failures.length} failures of ${cases} cases`, ...failures].join('\n'));
  }
  for (const [name, result] of resultsOf(parts)) {
    if (result.error) out.push(`${name} broke off: ${result.error}`);
  }
  return out.join('\n\n');
}

function kernelTable(title: string, { kernels, dispatches, gpu }: Timed): string {
  const sum = kernels.reduce((total, { ms }) => total + ms, 0);
  const options = (all: KernelShare['options']) =>
    Object.entries(all)
      .filter(([, value]) => value !== 'none' && value !== false)
      .map(([name, value]) => (value === true ? name.toLowerCase() : String(value)))
      .join(' ');
  const lines = kernels.map((share) => [
    `${share.kernel} ${share.variant}`,
    options(share.options),
    String(share.count),
    share.ms.toFixed(3),
    `${((100 * share.ms) / sum).toFixed(0)} %`,
    share.gbs === undefined ? '' : share.gbs.toPrecision(3),
    share.gmacs === undefined ? '' : share.gmacs.toPrecision(3),
  ]);
  const head = `${title}: ${dispatches} dispatches, ${gpu.toFixed(3)} ms in one pass, ${sum.toFixed(3)} ms one by one`;
  return `${head}\n${columns([['kernel', 'options', 'count', 'ms', 'share', 'GB/s', 'GMAC/s'], ...lines])}`;
}

export function resultsOf(parts: Report['parts']): [string, PartResult][] {
  return Object.entries(parts).flatMap(([name, result]) => (result ? [[name, result]] : []));
}

function shapesOf(parts: Report['parts']): ShapeFigures[] {
  return resultsOf(parts).flatMap(([name, { figures }]) =>
    name.startsWith('shape ') && figures ? [figures as ShapeFigures] : [],
  );
}
