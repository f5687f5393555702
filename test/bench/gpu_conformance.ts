/** The conformance cases in every variant that this adapter can run. */
import { openDevice } from '../../packages/core/src/backends/webgpu/device.ts';
import type { WebGpuOptions } from '../../packages/core/src/backends/webgpu/index.ts';
import { capabilitiesOf } from '../../packages/core/src/backends/webgpu/select/choose.ts';
import {
  candidates,
  usesHalves,
  type Capabilities,
} from '../../packages/core/src/backends/webgpu/select/rules.ts';
import { kernelNames, type KernelName } from '../../packages/core/src/backends/webgpu/shader.ts';
import { runSuite } from '../conformance/suite.ts';
import { gpuHost, openGpu } from './gpu_open.ts';
import type { Size } from './gpu_roof.ts';

export interface ConformanceFigures {
  readonly name: string;
  readonly options: WebGpuOptions;
  readonly cases: number;
  readonly failures: readonly string[];
  /** Largest errors by op, as text. */
  readonly table: string;
}

/** Of each group of cases, every so-many-th; others in every set of variants. */
const STRIDES: Readonly<Record<Size, number>> = { full: 1, software: 5, quick: 997 };
/** Texts of failures that are kept of each set. */
const SHOWN = 20;

export async function measureConformance(
  size: Size,
  save: (figures: readonly ConformanceFigures[]) => void,
): Promise<void> {
  const gpu = openGpu();
  const open = await openDevice(gpuHost(), {});
  const sets = variantSets(capabilitiesOf(open));
  open.dispose();
  const figures: ConformanceFigures[] = [];
  const stride = STRIDES[size];
  for (const [i, { name, options }] of sets.entries()) {
    let done: Omit<ConformanceFigures, 'name' | 'options'>;
    try {
      const { cases, failures, table } = await runSuite(gpu, { column: name, options, stride, first: i });
      const more = failures.length > SHOWN ? [`... and ${failures.length - SHOWN} more`] : [];
      done = { cases, failures: [...failures.slice(0, SHOWN), ...more], table };
    } catch (error) {
      done = {
        cases: 0,
        failures: [error instanceof Error ? (error.stack ?? error.message) : String(error)],
        table: '',
      };
    }
    figures.push({ name, options, ...done });
    save(figures);
  }
}

/** Sets of variants in which every variant that the adapter can run comes up. */
export function variantSets(capabilities: Capabilities): { name: string; options: WebGpuOptions }[] {
  const able = kernelNames.map((kernel) => [kernel, candidates(kernel, capabilities)] as const);
  const most = Math.max(...able.map(([, names]) => names.length));
  const sets = Array.from({ length: most }, (_, i) => {
    const chosen = able
      .filter(([, names]) => names.length > 0)
      .map(([kernel, names]) => [kernel, names[i % names.length]]);
    const variants = Object.fromEntries(chosen) as Partial<Record<KernelName, string>>;
    const halves = Object.entries(variants).some(([kernel, name]) => usesHalves(kernel as KernelName, name));
    return {
      name: `set ${i + 1}`,
      options: { variants, precision: halves ? 'f16' : 'f32', int8: false } as const,
    };
  });
  const rounded = candidates('linear_gemm_int8', capabilities).map((variant) => ({
    name: `int8 ${variant}`,
    options: { variants: { linear_gemm_int8: variant }, precision: 'auto', int8: true } as const,
  }));
  return [...sets, ...rounded];
}
