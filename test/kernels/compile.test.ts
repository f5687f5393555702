/**
 * Every permutation of wgsl/variants.json compiles: in Dawn (Chromium, Node), whose null backend validates WGSL with f16 and
 * subgroups and needs no GPU, and in naga (Firefox, Deno). Each refuses what the other accepts.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import {
  compose,
  kernelNames,
  kernels,
  permits,
  type KernelName,
} from '../../packages/core/src/backends/webgpu/shader.ts';
import { runInDeno } from '../support/deno.ts';
import { openTestGpu } from '../support/gpu.ts';
import { combinations, compileAll, openFully, type Outcome } from './permutations.ts';

const MINUTES = 60_000;

/** Kernels in which a permutation of these variants can be compiled without subgroups. */
const portable = kernelNames.filter((kernel) =>
  Object.values(kernels[kernel].variants).some(({ features = [] }) => !features.includes('subgroups')),
);

test('no two shaders share a name, by which pipelines are kept', () => {
  const codes = new Map<string, string>();
  for (const kernel of kernelNames) {
    for (const [variant, needs] of Object.entries(kernels[kernel].variants)) {
      for (const options of combinations(kernels[kernel].options)) {
        if (!permits(needs, options)) continue;
        const { name, code } = compose(kernel, variant, options);
        expect(codes.get(name) ?? code, name).toBe(code);
        codes.set(name, code);
      }
    }
  }
});

describe('Dawn compiles', () => {
  let outcomes: Record<KernelName, Outcome>;
  beforeAll(async () => {
    const adapter = await (await openTestGpu('null')).requestAdapter();
    if (!adapter) throw new Error('no adapter');
    const device = await openFully(adapter);
    outcomes = await compileAll(device);
    device.destroy();
  }, 3 * MINUTES);

  test.each(kernelNames)('%s in every variant', (kernel) => {
    const { compiled, left, errors } = outcomes[kernel];
    expect(errors).toEqual([]);
    expect(left).toEqual([]);
    expect(compiled).toBeGreaterThan(0);
  });
});

describe('naga compiles', () => {
  let outcomes: Record<KernelName, Outcome>;
  beforeAll(async () => {
    outcomes = await runInDeno(new URL('./permutations.ts', import.meta.url), null, { timeout: 5 * MINUTES });
  }, 6 * MINUTES);

  test.each(portable)('%s, but for its subgroup variants, which it does not know', (kernel) => {
    const { compiled, left, errors } = outcomes[kernel];
    expect(errors).toEqual([]);
    // f16 it has: nothing but subgroups may be left out.
    expect(left.filter((why) => !why.endsWith(': subgroups'))).toEqual([]);
    expect(compiled).toBeGreaterThan(0);
  });

  test('at least one variant of every kernel', () => {
    expect(portable).toEqual(kernelNames);
  });
});
