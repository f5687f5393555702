/**
 * The conformance cases on one WebGPU device, in whatever runtime this is imported: Node calls {@link runSuite}; Deno and a
 * page call the default export, with their own `navigator.gpu`.
 */
import {
  createWebGpu,
  type WebGpuBackend,
  type WebGpuOptions,
} from '../../packages/core/src/backends/webgpu/index.ts';
import type { Host } from '../../packages/core/src/host.ts';
import { linearF16Tolerance, type Command } from '../../packages/core/src/ops/index.ts';
import { memorySettings } from '../support/memory_settings.ts';
import { allowed } from '../support/tolerance.ts';
import { caches, type Case } from './case.ts';
import { attentionCases } from './cases/attention.ts';
import { chainCases } from './cases/chains.ts';
import { elementwiseCases } from './cases/elementwise.ts';
import { linearCases } from './cases/linear.ts';
import { normCases } from './cases/norms.ts';
import { windowCases } from './cases/windows.ts';
import { check, ErrorTable, Truth } from './harness.ts';

export interface SuiteInput {
  /** Names the device in failures and in the table. */
  readonly column: string;
  readonly options: WebGpuOptions;
  /** Of each group, every `stride`-th case from `first` on; of attention all, since each finds in the cache what others wrote. */
  readonly stride?: number;
  readonly first?: number;
  /** Groups to run; by default all. */
  readonly groups?: readonly GroupName[];
}

export interface SuiteResult {
  readonly cases: number;
  /** One text a failure, with seed and parameters. */
  readonly failures: readonly string[];
  readonly table: string;
}

const groups = {
  linear: linearCases,
  norms: normCases,
  attention: attentionCases,
  elementwise: elementwiseCases,
  windows: windowCases,
  chains: chainCases,
} satisfies Record<string, () => Case[]>;
type GroupName = keyof typeof groups;
const groupNames = Object.keys(groups) as GroupName[];

export async function runSuite(gpu: GPU, input: SuiteInput, table = new ErrorTable()): Promise<SuiteResult> {
  const { column, options, stride = 1, first = 0, groups: asked = groupNames } = input;
  const backend = await createWebGpu(gpuHost(gpu), { ...options, poison: true });
  try {
    await backend.createCache(caches);
    // x is rounded to int8 where the int8 kernels take it, and nowhere else.
    const { int8, gemvRows } = backend.selection;
    const truth = new Truth((linear) => int8 && linear.x.rows > gemvRows);
    const failures: string[] = [];
    let cases = 0;
    for (const group of asked) {
      const some = groups[group]().filter((_, i) => group === 'attention' || i % stride === first % stride);
      cases += some.length;
      failures.push(...(await check(backend, column, some, truth, table, limitFor(backend))));
    }
    return { cases, failures, table: table.toString() };
  } finally {
    await backend.dispose();
  }
}

/**
 * WGSL's division may be off by 2.5 ulp, so that a value of x halfway between two codes gets the other one: this moves an
 * output by 1/127 of the largest |x| times a weight, of sums as large as the root of k.
 */
const ONE_CODE = 1e-3;

/** The op's tolerance; that of f16 products, and of x rounded to int8, where they are taken. */
function limitFor({ selection }: WebGpuBackend): (command: Command, pos: number) => number {
  const halves = selection.variants.linear_gemm === 'tile_f16';
  return (command, pos) => {
    const strict = allowed(command, pos);
    if (command.op !== 'linear' || command.x.rows <= selection.gemvRows) return strict;
    if (selection.int8) return strict + ONE_CODE;
    if (!halves) return strict;
    const { base, growth } = linearF16Tolerance;
    return base + growth * Math.sqrt(command.w.k);
  };
}

/** What the backend needs of a host: the GPU. */
function gpuHost(gpu: GPU): Host {
  const absent = (what: string) => () => Promise.reject(new Error(`the suite's host has no ${what}`));
  return {
    name: 'suite',
    hardwareConcurrency: 1,
    sharedMemory: false,
    openModel: absent('models'),
    readImage: absent('images'),
    decodeImage: absent('images'),
    readKernels: absent('WASM'),
    spawnWorker: () => {
      throw new Error("the suite's host has no threads");
    },
    openGpu: async () => gpu,
    settings: memorySettings(),
  };
}

/** @param input see {@link SuiteInput}. */
export default async function run(input: SuiteInput): Promise<SuiteResult> {
  const { gpu } = navigator as { gpu?: GPU };
  if (!gpu) throw new Error('there is no navigator.gpu');
  return runSuite(gpu, input);
}
