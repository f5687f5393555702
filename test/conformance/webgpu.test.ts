/**
 * Every op in every variant of its WGSL kernels against float64, on drivers that compute on the CPU, in Node, Deno and
 * Chromium; outputs poisoned by NaN. The same cases as for the WASM backend, some of them where a device has run the others
 * in another variant: drivers compile slowly here.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { openChromium } from '../support/chromium.ts';
import { runInDeno } from '../support/deno.ts';
import { openTestGpu, type TestGpu } from '../support/gpu.ts';
import { free, halves, subgroup, workgroup } from '../support/variants.ts';
import { ErrorTable } from './harness.ts';
import { runSuite, type SuiteInput, type SuiteResult } from './suite.ts';

const f32 = { precision: 'f32' } as const;
const table = new ErrorTable();

const devices: { gpu: Exclude<TestGpu, 'null'>; input: SuiteInput }[] = [
  { gpu: 'swiftshader', input: { column: 'barrier-free', options: { ...f32, variants: free } } },
  { gpu: 'lavapipe', input: { column: 'workgroup', options: { ...f32, variants: workgroup } } },
  { gpu: 'lavapipe', input: { column: 'subgroup', options: { ...f32, variants: subgroup }, stride: 2 } },
  {
    gpu: 'lavapipe',
    input: {
      column: 'f16',
      options: { precision: 'f16', variants: halves },
      groups: ['linear', 'chains'],
      stride: 2,
      first: 1,
    },
  },
  {
    gpu: 'swiftshader',
    input: {
      column: 'int8 block',
      options: { variants: { ...free, linear_gemm_int8: 'block' }, int8: true },
      groups: ['linear'],
      stride: 3,
    },
  },
  {
    gpu: 'lavapipe',
    input: {
      column: 'int8 tile',
      options: { variants: { ...workgroup, linear_gemm_int8: 'tile' }, int8: true },
      groups: ['linear'],
      stride: 3,
    },
  },
  {
    gpu: 'swiftshader',
    input: {
      column: 'subgroup of 4',
      options: { ...f32, variants: subgroup },
      groups: ['linear', 'norms', 'chains'],
      stride: 7,
    },
  },
  // Matrices that do not fit one binding are cut into tiles of rows.
  {
    gpu: 'swiftshader',
    input: {
      column: 'small bindings',
      options: { ...f32, variants: free, maxBinding: 2048 },
      groups: ['linear', 'elementwise', 'chains'],
      stride: 5,
    },
  },
];

const shown = 8;

function expectClean({ failures, cases }: SuiteResult, atLeast: number): void {
  const more = failures.length > shown ? [`... and ${failures.length - shown} more`] : [];
  expect([...failures.slice(0, shown), ...more].join('\n')).toBe('');
  expect(cases).toBeGreaterThan(atLeast);
}

describe('in Node', () => {
  test.each(devices)('$gpu, $input.column', { timeout: 600_000 }, async ({ gpu, input }) => {
    const column = `${gpu} ${input.column}`;
    expectClean(await runSuite(await openTestGpu(gpu), { ...input, column }, table), 70);
  });
});

const module = new URL('./suite.ts', import.meta.url);

test('in Deno, on lavapipe', { timeout: 600_000 }, async () => {
  const input: SuiteInput = { column: 'deno', options: { ...f32, variants: workgroup }, stride: 9 };
  expectClean(await runInDeno<SuiteResult>(module, input, { timeout: 280_000 }), 50);
});

test('in Chromium, on SwiftShader', { timeout: 600_000 }, async () => {
  const chromium = await openChromium(module);
  try {
    const input: SuiteInput = { column: 'chromium', options: { ...f32, variants: free }, stride: 9 };
    expectClean(await chromium.run<SuiteResult>(input, 280_000), 50);
  } finally {
    await chromium.close();
  }
});

afterAll(() => {
  console.log(table.toString());
});
