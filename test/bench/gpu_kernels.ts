/** Every variant of the linears' kernels in every format, at the shapes of real models. */
import type { WeightFormat } from '../../packages/core/src/backend/index.ts';
import { openDevice } from '../../packages/core/src/backends/webgpu/device.ts';
import { capabilitiesOf } from '../../packages/core/src/backends/webgpu/select/choose.ts';
import {
  candidates,
  usesHalves,
  type Capabilities,
} from '../../packages/core/src/backends/webgpu/select/rules.ts';
import type { WebGpuOptions } from '../../packages/core/src/backends/webgpu/index.ts';
import { gpuHost } from './gpu_open.ts';
import { timeLinear } from './gpu_linear.ts';
import type { Size } from './gpu_roof.ts';

export interface KernelFigure {
  readonly kernel: string;
  readonly variant: string;
  readonly format: WeightFormat;
  readonly rows: number;
  readonly n: number;
  readonly k: number;
  readonly us: number;
  /** 1e9 bytes of weights a second. */
  readonly gbs: number;
  readonly gmacs: number;
}

const FORMATS = ['q4', 'q8', 'f16', 'f32'] as const;
/** Of Vicuna-7B and Qwen2-0.5B; the last is long enough to be split. */
const SHAPES = [
  [4096, 4096],
  [896, 4864],
  [11008, 4096],
  [4096, 11008],
] as const;
/** Tokens of an image, and of an image with a question. */
const ROWS = [582, 640];

interface Plan {
  readonly formats: readonly WeightFormat[];
  readonly shapes: readonly (readonly [n: number, k: number])[];
  readonly rows: readonly number[];
  readonly coldBytes: number;
}

const PLANS: Readonly<Record<Size, Plan>> = {
  // Five times the cache of the largest GPUs.
  full: { formats: FORMATS, shapes: SHAPES, rows: ROWS, coldBytes: 2 ** 28 },
  software: { formats: FORMATS, shapes: SHAPES.slice(0, 2), rows: [64], coldBytes: 2 ** 26 },
  quick: { formats: ['q4'], shapes: [[256, 256]], rows: [32], coldBytes: 2 ** 17 },
};

export async function measureKernels(
  size: Size,
  save: (figures: readonly KernelFigure[]) => void,
): Promise<void> {
  const plan = PLANS[size];
  const host = gpuHost();
  const open = await openDevice(host, {});
  const capabilities = capabilitiesOf(open);
  open.dispose();
  const figures: KernelFigure[] = [];
  for (const format of plan.formats) {
    for (const [n, k] of plan.shapes) {
      for (const { rows, options } of jobs(plan, format, capabilities)) {
        const coldBytes = rows === 1 ? plan.coldBytes : 0;
        const { kernel, variant, ms, bytes, macs } = await timeLinear(host, {
          format,
          rows,
          n,
          k,
          coldBytes,
          options,
        });
        const us = ms * 1e3;
        figures.push({
          kernel,
          variant,
          format,
          rows,
          n,
          k,
          us,
          gbs: bytes / us / 1e3,
          gmacs: macs / us / 1e3,
        });
        save(figures);
      }
    }
  }
}

function jobs(
  { rows }: Plan,
  format: WeightFormat,
  capabilities: Capabilities,
): { rows: number; options: WebGpuOptions }[] {
  const gemv = candidates('linear_gemv', capabilities).map((variant) => ({
    rows: 1,
    options: {
      precision: 'f32' as const,
      variants: { linear_gemv: variant, linear_gemv_split: variant },
      int8: false,
    },
  }));
  const kernels = ['linear_gemm', 'linear_gemm_int8'] as const;
  const able = kernels.filter((kernel) => kernel === 'linear_gemm' || format === 'q4' || format === 'q8');
  const gemm = able.flatMap((kernel) =>
    candidates(kernel, capabilities).flatMap((variant) =>
      rows.map((count) => ({
        rows: count,
        options: {
          precision: usesHalves(kernel, variant) ? ('f16' as const) : ('f32' as const),
          variants: { [kernel]: variant },
          int8: kernel === 'linear_gemm_int8',
        },
      })),
    ),
  );
  return [...gemv, ...gemm];
}
