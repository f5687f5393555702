/** A kernel that computes wrongly is found, never selected, and said to be; what was found is remembered. */
import { describe, expect, test } from 'vitest';
import { createWebGpu } from '../../packages/core/src/backends/webgpu/index.ts';
import type { Host } from '../../packages/core/src/host.ts';
import { createTestHost } from '../support/host.ts';
import { openTestGpu } from '../support/gpu.ts';
import { memorySettings } from '../support/memory_settings.ts';
import { tamper } from '../support/tampered.ts';

/** Drivers that compile on a busy CPU take their time. */
const LIMIT = 400_000;

/** Every output of a norm a thousandth too large. */
const wrongNorm = (name: string, code: string): string =>
  name.startsWith('norm_') ? code.replace(/=(\w+\*\w+\*v\[)/g, '=1.001*$1') : code;

function hostOf(gpu: GPU): Host {
  return { ...createTestHost({ gpu }), settings: memorySettings() };
}

describe('on an adapter with a wrong kernel', () => {
  test(
    'another variant runs, with a reason and a warning; the next load remembers it',
    async () => {
      const { gpu, compiled } = tamper(await openTestGpu('swiftshader'), (name, code) =>
        name.endsWith('_row') ? wrongNorm(name, code) : code,
      );
      const host = hostOf(gpu);
      const first = await createWebGpu(host, { precision: 'f16' });
      const norm = first.report.choices.find(({ what }) => what === 'norm');
      expect(norm?.chosen).not.toBe('row');
      expect(norm?.reason).toMatch(/refused row: off by 1\.0e-3, 2\.0e-6 allowed/);
      expect(first.warnings.join('\n')).toMatch(/norm \(row\) fails its self-test/);
      expect(first.warnings.join('\n'), 'SwiftShader has no f16').toMatch(/f16 was asked for/);
      expect(first.selection.variants.linear_gemv, 'others are not blamed').toBe('row');
      await first.dispose();

      compiled.length = 0;
      const second = await createWebGpu(host, { precision: 'f16' });
      expect(compiled, 'nothing is tested again').toEqual([]);
      expect(second.selection).toEqual(first.selection);
      expect(second.warnings).toEqual(first.warnings);
      expect(second.report.choices.find(({ what }) => what === 'norm')?.reason).toMatch(/remembered/);
      await second.dispose();
    },
    LIMIT,
  );

  test(
    'the backend refuses to start when every variant is wrong',
    async () => {
      const { gpu } = tamper(await openTestGpu('swiftshader'), wrongNorm);
      const settings = memorySettings();
      const failed = createWebGpu({ ...hostOf(gpu), settings });
      await expect(failed).rejects.toMatchObject({
        code: 'SELF_TEST_FAILED',
        message: expect.stringMatching(/No form of the WebGPU kernel norm works/) as string,
      });
    },
    LIMIT,
  );

  test(
    'code that the driver refuses is as bad as a wrong result',
    async () => {
      const { gpu } = tamper(await openTestGpu('swiftshader'), (name, code) =>
        name.startsWith('norm_') && name.endsWith('_row') ? 'this is no WGSL' : code,
      );
      const backend = await createWebGpu(hostOf(gpu));
      const norm = backend.report.choices.find(({ what }) => what === 'norm');
      expect(norm?.chosen).not.toBe('row');
      expect(norm?.reason).toMatch(/refused row: The GPU's driver refused the kernel norm_rms_row/);
      await backend.dispose();
    },
    LIMIT,
  );
});

describe('settings', () => {
  test.each(['', 'null', '{"at": 1}', '{"selection": {"variants": {"norm": "quantum"}}}'])(
    'that are damaged (%s) are not believed',
    async (text) => {
      const { recall } = await import('../../packages/core/src/backends/webgpu/select/remember.ts');
      const settings = { get: async () => text, set: async () => undefined };
      const host = { ...createTestHost(), settings };
      expect(await recall(host, 'x')).toBeNull();
    },
  );
});
