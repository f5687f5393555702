/**
 * The benches on WebGPU. Each part runs in a process of its own, so that a driver's crash ends one part and not the rest;
 * the report is written anew after every part.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureConformance } from './gpu_conformance.ts';
import { measureKernels } from './gpu_kernels.ts';
import { adapterFigures, machineFigures } from './gpu_open.ts';
import {
  resultsOf,
  summarize,
  tables,
  type PartFigures,
  type PartName,
  type PartResult,
  type Report,
} from './gpu_report.ts';
import { measureRoof, type Size } from './gpu_roof.ts';
import { measureShape } from './gpu_shapes.ts';
import { shapeNames, type ShapeName } from './model_shapes.ts';

/** Seconds after which a part is ended. */
const LIMITS: Readonly<Record<Size, number>> = { full: 400, software: 1800, quick: 240 };

const options = {
  shape: { type: 'string', multiple: true },
  kernels: { type: 'boolean', default: false },
  conformance: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  precision: { type: 'string', default: 'auto' },
  json: { type: 'string' },
  // Of the processes that this starts.
  part: { type: 'string' },
  size: { type: 'string' },
  out: { type: 'string' },
} as const;

type Save = <Name extends PartName>(figures: PartFigures[Name]) => void;

/**
 * `[--shape NAME]... [--kernels] [--conformance] [--quick] [--precision auto|f32|f16] [--json FILE]`; without a choice of
 * parts, all shapes, and with `everything` the kernels and the conformance suite too.
 *
 * @returns whether all parts came to their end, and no conformance case failed.
 */
export async function benchGpu(args: readonly string[], everything = false): Promise<boolean> {
  const { values } = parseArgs({ args: [...args], options, strict: false });
  const { part, size, out } = values;
  const precision = precisionOf(values.precision);
  if (typeof part === 'string' && typeof out === 'string') {
    return runPart(part as PartName, size as Size, precision, out);
  }
  const chosen = {
    shapes: (values.shape ?? []).map(shapeOf),
    kernels: values.kernels === true,
    conformance: values.conformance === true,
    quick: values.quick === true,
    everything,
  };
  const json = typeof values.json === 'string' ? values.json : undefined;
  const report = await runParts(chosen, precision, json);
  console.log(`\n${tables(report)}`);
  return resultsOf(report.parts).every(
    ([, { error, figures }]) =>
      error === null && !(Array.isArray(figures) && figures.some((set) => failed(set as object))),
  );
}

interface Chosen {
  readonly shapes: readonly ShapeName[];
  readonly kernels: boolean;
  readonly conformance: boolean;
  readonly quick: boolean;
  readonly everything: boolean;
}

async function runParts(chosen: Chosen, precision: Precision, json: string | undefined): Promise<Report> {
  let report: Report = {
    version: 1,
    date: new Date().toISOString(),
    size: chosen.quick ? 'quick' : 'full',
    machine: machineFigures(),
    parts: {},
    summary: [],
  };
  const folder = mkdtempSync(join(tmpdir(), 'llava-sp-bench-'));
  try {
    const add = async (name: PartName): Promise<void> => {
      console.error(`== ${name}`);
      const result = await inProcess(name, report.size, precision, join(folder, 'part.json'));
      if (result.error) console.error(`${name} broke off: ${result.error}`);
      const parts = { ...report.parts, [name]: result };
      report = { ...report, parts, summary: summarize(parts) };
      if (json) writeFileSync(json, `${JSON.stringify(report, null, 1)}\n`);
    };
    await add('adapter');
    const adapter = report.parts.adapter?.figures;
    if (adapter?.software && !chosen.quick) report = { ...report, size: 'software' };
    if (adapter) for (const name of partsOf(chosen, adapter.software)) await add(name);
    return report;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function partsOf({ shapes, kernels, conformance, quick, everything }: Chosen, software: boolean): PartName[] {
  const some = shapes.length > 0 || kernels || conformance;
  // 7B weights take a driver that computes on the CPU an hour: only when asked for.
  const usual = shapeNames.filter(
    (name) => name !== 'tiny-llava-sp' && !(software && name === 'llava-sp-7b'),
  );
  const measured = some ? shapes : quick ? (['tiny-llava-sp'] as const) : usual;
  const all = everything && !some;
  return [
    'roof',
    ...measured.map((name) => `shape ${name}` as const),
    ...(kernels || all ? (['kernels'] as const) : []),
    ...(conformance || all ? (['conformance'] as const) : []),
  ];
}

/** Runs one part by this very program. */
async function inProcess(
  name: PartName,
  size: Size,
  precision: Precision,
  out: string,
): Promise<PartResult<never>> {
  rmSync(out, { force: true });
  const args = ['--device', 'webgpu', '--part', name, '--size', size, '--precision', precision, '--out', out];
  const start = performance.now();
  const limit = LIMITS[size];
  const end = await new Promise<string | null>((resolve) => {
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1], ...args], {
      stdio: ['ignore', 2, 2],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), limit * 1000);
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      const late = performance.now() - start > limit * 1000 ? `, after its ${limit} s` : '';
      resolve(code === 0 ? null : signal ? `ended by ${signal}${late}` : `exit code ${code}`);
    });
  });
  const seconds = (performance.now() - start) / 1000;
  const { figures = null, error = null } = read(out) as Partial<PartResult<never>>;
  return { seconds, figures, error: error ?? end };
}

/** The body of a part's process. */
async function runPart(name: PartName, size: Size, precision: Precision, out: string): Promise<boolean> {
  let figures: unknown = null;
  const write = (error: string | null): void => writeFileSync(out, JSON.stringify({ figures, error }));
  const save: Save = (found) => {
    figures = found;
    write(null);
  };
  try {
    if (name === 'adapter') save<'adapter'>(await adapterFigures());
    else if (name === 'roof') await measureRoof(size, save<'roof'>);
    else if (name === 'kernels') await measureKernels(size, save<'kernels'>);
    else if (name === 'conformance') await measureConformance(size, save<'conformance'>);
    else {
      const shape = shapeOf(name.slice('shape '.length));
      await measureShape(shape, size, { precision }, save<`shape ${string}`>);
    }
    return true;
  } catch (error) {
    write(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return false;
  }
}

function read(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    // It ended before it found anything.
    return {};
  }
}

function failed(figures: object): boolean {
  return 'failures' in figures && Array.isArray(figures.failures) && figures.failures.length > 0;
}

type Precision = 'auto' | 'f32' | 'f16';

function precisionOf(text: unknown): Precision {
  if (text === 'auto' || text === 'f32' || text === 'f16') return text;
  throw new Error('--precision is auto, f32 or f16');
}

function shapeOf(text: unknown): ShapeName {
  const found = shapeNames.find((name) => name === text);
  if (!found) throw new Error(`--shape is one of ${shapeNames.join(', ')}`);
  return found;
}
