/**
 * Every op in every variant of its WGSL kernels against float64, on drivers that compute on the CPU; outputs poisoned by
 * NaN. The same cases as for the WASM backend.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createWebGpu,
  type WebGpuBackend,
  type WebGpuOptions,
} from '../../packages/core/src/backends/webgpu/index.ts';
import { createTestHost } from '../support/host.ts';
import { openTestGpu, type TestGpu } from '../support/gpu.ts';
import { caches, type Case } from './case.ts';
import { attentionCases } from './cases/attention.ts';
import { chainCases } from './cases/chains.ts';
import { elementwiseCases } from './cases/elementwise.ts';
import { linearCases } from './cases/linear.ts';
import { normCases } from './cases/norms.ts';
import { windowCases } from './cases/windows.ts';
import { check, ErrorTable, locate, Truth } from './harness.ts';

const groups = {
  linear: linearCases(),
  norms: normCases(),
  attention: attentionCases(),
  elementwise: elementwiseCases(),
  windows: windowCases(),
  chains: chainCases(),
};
const table = new ErrorTable();

const free = {
  linear_gemv: 'row',
  linear_gemv_split: 'row',
  linear_gemm: 'block',
  norm: 'row',
  attention: 'row',
  attention_step: 'row',
  cross_attention: 'row',
  argmax: 'row',
} as const;
const workgroup = {
  linear_gemv: 'workgroup',
  linear_gemv_split: 'workgroup',
  linear_gemm: 'tile',
  norm: 'workgroup',
  attention: 'tile',
  attention_step: 'workgroup',
  cross_attention: 'workgroup',
  argmax: 'workgroup',
} as const;
const subgroup = {
  ...workgroup,
  linear_gemv: 'subgroup',
  linear_gemv_split: 'subgroup',
  norm: 'subgroup',
} as const;

const devices: { gpu: TestGpu; name: string; options: WebGpuOptions }[] = [
  { gpu: 'swiftshader', name: 'barrier-free', options: { variants: free } },
  { gpu: 'lavapipe', name: 'workgroup', options: { variants: workgroup } },
  { gpu: 'lavapipe', name: 'subgroup', options: { variants: subgroup } },
];

const shown = 8;

describe.each(devices)('$gpu, $name', ({ gpu, name, options }) => {
  const truth = new Truth(false);
  let backend: WebGpuBackend;

  beforeAll(async () => {
    const host = createTestHost({ gpu: await openTestGpu(gpu) });
    backend = await createWebGpu(host, { ...options, precision: 'f32', poison: true });
    await backend.createCache(caches);
  });
  afterAll(() => backend.dispose());

  it.each(Object.entries(groups))('%s', async (group, cases: readonly Case[]) => {
    const failures = await check(backend, `${gpu} ${name}`, cases, truth, table);
    if (failures.length > 0 && group === 'chains') {
      const first = cases.find((subject) => failures[0].includes(subject.name));
      if (first) await locate(backend, first);
    }
    const more = failures.length > shown ? [`... and ${failures.length - shown} more`] : [];
    expect([...failures.slice(0, shown), ...more].join('\n')).toBe('');
  });
});

afterAll(() => {
  console.log(table.toString());
});
