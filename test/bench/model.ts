/** Whole-model figures with random q4 weights: `npm run bench -- --shape qwen2-0.5b`. */
import type { Executable } from '../../packages/core/src/backend/index.ts';
import {
  createWasm,
  type CommandTime,
  type WasmBackend,
} from '../../packages/core/src/backends/wasm/index.ts';
import type { TextConfig } from '../../packages/core/src/models/config.ts';
import type { Program } from '../../packages/core/src/ops/index.ts';
import { createTestHost } from '../support/host.ts';
import { Random } from '../support/random.ts';
import { recordText, recordVision } from './model_programs.ts';
import { imageTokens, llamaCpp, shapes, type ShapeName, type VisionShape } from './model_shapes.ts';
import { randomWeight } from './model_weights.ts';
import { columns } from './table.ts';

/** Tokens that are timed, after the warm-up that lets the engine optimise the kernels. */
const timedTokens = 16;
const warmTokens = 6;

/** One measured quantity of one thread count. */
export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly threads: number;
  readonly ours: number;
  /** llama.cpp's, where it was measured. */
  readonly theirs?: number;
  /** Whether more is better. */
  readonly rate: boolean;
}

export interface BenchOptions {
  readonly threads?: readonly number[];
  /** The fastest of so many runs counts. */
  readonly repeats?: number;
  readonly variant?: 'simd' | 'relaxed';
}

/** Measures one shape with each number of threads and prints a table. */
export async function benchModel(name: ShapeName, options: BenchOptions = {}): Promise<Figure[]> {
  const { threads: threadCounts = [1, 2], repeats = 3, variant } = options;
  const shape = shapes[name];
  if (shape.kind === 'llava') throw new Error(`${name} is measured with --device webgpu alone`);
  const figures: Figure[] = [];
  for (const threads of threadCounts) {
    const backend = await createWasm(createTestHost(), { threads, variant });
    try {
      const made =
        shape.kind === 'text'
          ? await text(backend, name, shape.text, repeats)
          : await vision(backend, name, shape, repeats);
      figures.push(...made);
      const { weights, total } = await backend.memory();
      const choices = backend.report.choices.map(({ what, chosen }) => `${what} ${chosen}`).join(', ');
      console.log(`${name}: ${choices}; weights ${megabytes(weights)} MB, all ${megabytes(total)} MB`);
    } finally {
      await backend.dispose();
    }
  }
  print(name, figures);
  return figures;
}

async function text(
  backend: WasmBackend,
  name: ShapeName,
  config: TextConfig,
  repeats: number,
): Promise<Figure[]> {
  const random = new Random(1);
  const [decode, prefill] = [recordText(config, 1), recordText(config, imageTokens)];
  await load(backend, decode);
  await backend.createCache(decode.caches);
  const threads = backend.report.threads;

  const whole = await backend.compile(prefill);
  const prompt = Uint32Array.from({ length: imageTokens }, () => random.below(config.vocab));
  const prefillMs = await best(repeats, async () => {
    const [logits] = await backend.run(whole, { inputs: { ids: prompt }, pos: 0 });
    if (!logits.every(Number.isFinite)) throw new Error('the logits are not finite');
  });
  whole.release();

  const one = await backend.compile(decode);
  const token = (i: number) =>
    backend.run(one, { inputs: { ids: Uint32Array.of(prompt[i % imageTokens]) }, pos: imageTokens + i });
  for (let i = 0; i < warmTokens; i++) await token(i);
  const decodeMs = await best(repeats, async () => {
    for (let i = 0; i < timedTokens; i++) await token(i);
  });
  await token(0);
  const shares = outside(await steadyProfile(backend, one));
  const theirs = llamaCpp[name];
  const rate = { unit: 'tokens/s', threads, rate: true };
  return [
    {
      what: `decode at ${imageTokens}`,
      ...rate,
      ours: (timedTokens * 1000) / decodeMs,
      theirs: theirs?.decode?.[threads],
    },
    {
      what: `prefill of ${imageTokens}`,
      ...rate,
      ours: (imageTokens * 1000) / prefillMs,
      theirs: theirs?.prefill?.[threads],
    },
    { what: 'decode outside the GEMVs', unit: '%', threads, rate: false, ours: 100 * shares },
  ];
}

async function vision(
  backend: WasmBackend,
  name: ShapeName,
  shape: VisionShape,
  repeats: number,
): Promise<Figure[]> {
  const program = recordVision(shape);
  await load(backend, program);
  const executable = await backend.compile(program);
  const pixels = new Random(1).normals(3 * shape.vision.imageSize ** 2);
  const ms = await best(repeats, async () => {
    const [features] = await backend.run(executable, { inputs: { pixels } });
    if (!features.every(Number.isFinite)) throw new Error('the features are not finite');
  });
  const threads = backend.report.threads;
  const theirs = llamaCpp[name]?.vision?.[threads];
  return [{ what: 'one image', unit: 's', threads, rate: false, ours: ms / 1000, theirs }];
}

async function load(backend: WasmBackend, program: Program): Promise<void> {
  for (const ref of program.weights) await backend.loadWeight(randomWeight(ref));
}

/** Milliseconds of the fastest of `times` runs: what the machine can do between other programs' turns. */
async function best(times: number, run: () => Promise<unknown>): Promise<number> {
  let fastest = Infinity;
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await run();
    fastest = Math.min(fastest, performance.now() - start);
  }
  return fastest;
}

/** The smallest time of each command over some profiles. */
async function steadyProfile(backend: WasmBackend, executable: Executable): Promise<CommandTime[]> {
  let fastest = await backend.profile(executable);
  for (let i = 0; i < 4; i++) {
    const next = await backend.profile(executable);
    fastest = fastest.map(({ op, ms }, j) => ({ op, ms: Math.min(ms, next[j].ms) }));
  }
  return fastest;
}

/** The share of time in commands that are not linears. */
function outside(times: readonly CommandTime[]): number {
  const sum = (list: readonly CommandTime[]) => list.reduce((total, { ms }) => total + ms, 0);
  return sum(times.filter(({ op }) => op !== 'linear')) / sum(times);
}

function print(name: ShapeName, figures: readonly Figure[]): void {
  const lines = figures.map(({ what, unit, threads, ours, theirs, rate }) => [
    what,
    String(threads),
    `${ours.toPrecision(3)} ${unit}`,
    theirs === undefined ? '-' : `${theirs} ${unit}`,
    theirs === undefined ? '-' : `${(rate ? ours / theirs : theirs / ours).toFixed(2)}x`,
  ]);
  console.log(columns([[name, 'threads', 'ours (WASM, q4)', 'llama.cpp (native)', 'speed'], ...lines]));
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
