/** doctor(): what it reports of a machine without a GPU, of a good kernel, and of a wrong one. */
import { expect, test } from 'vitest';
import { doctor, type DoctorReport } from '../../packages/core/src/index.ts';
import { run } from '../cli/run.ts';
import { createTestHost } from '../support/host.ts';
import { openTestGpu } from '../support/gpu.ts';
import { memorySettings } from '../support/memory_settings.ts';
import { tamper } from '../support/tampered.ts';

const LIMIT = 400_000;

test('without WebGPU it says why, and what runs instead', async () => {
  const report = await doctor(createTestHost());
  expect(report.webgpu).toEqual({ unavailable: "The tests' host was given no GPU." });
  expect(report.wasm.map(({ variant, verdict }) => [variant, verdict])).toEqual([
    ['simd', 'ok'],
    ['relaxed', 'ok'],
  ]);
  expect(report.auto.chosen).toBe('wasm');
  expect(report.auto.reason).toMatch(/no GPU/);
  expect(report.passed).toBe(true);
});

test('an abort ends it', async () => {
  const host = createTestHost({ gpu: await openTestGpu('swiftshader') });
  await expect(doctor(host, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' });
  const controller = new AbortController();
  const stopped = doctor(host, {
    kernels: ['activation'],
    signal: controller.signal,
    onProgress: () => controller.abort(),
  });
  await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' });
});

test(
  'a wrong variant fails by name, and the model would not run it',
  async () => {
    const { gpu } = tamper(await openTestGpu('swiftshader'), (name, code) =>
      name === 'norm_layer_row' ? code.replace(/=(\w+\*\w+\*v\[)/g, '=1.001*$1') : code,
    );
    const host = { ...createTestHost({ gpu }), settings: memorySettings() };
    const seen: string[] = [];
    const report = await doctor(host, {
      kernels: ['norm', 'unfold'],
      onProgress: ({ kernel }, done, total) => seen.push(`${kernel} ${done}/${total}`),
    });
    expect(report.passed).toBe(false);
    if (!('rows' in report.webgpu)) throw new Error(report.webgpu.unavailable);
    const { rows, choices, adapter } = report.webgpu;
    expect(adapter.software).toBe(true);
    const verdicts = rows.map(
      ({ kernel, variant, form, verdict }) => `${kernel} ${variant} ${form} ${verdict}`,
    );
    expect(verdicts).toEqual([
      'norm subgroup rms ok',
      'norm subgroup layer ok',
      'norm workgroup rms ok',
      'norm workgroup layer ok',
      'norm row rms ok',
      'norm row layer failed',
      'unfold thread  ok',
    ]);
    const { error = 0, allowed = 1, reason } = rows[5];
    expect(error).toBeGreaterThan(allowed);
    expect(reason).toMatch(/off by/);
    expect(seen.at(-1)).toBe('unfold 7/7');
    // The load's own test does not look at layer_norm.
    expect(choices.find(({ what }) => what === 'norm')?.chosen).not.toBe('row');
    expect(report.auto.chosen).toBe('wasm');
  },
  LIMIT,
);

test('the command line prints what was found, and takes no arguments', async () => {
  const { VK_ICD_FILENAMES: before } = process.env;
  // Inherited by the child: no driver, so no GPU to examine.
  process.env.VK_ICD_FILENAMES = '/nonexistent';
  try {
    const { stdout, code } = await run('doctor', '--json');
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as DoctorReport;
    expect(report).toMatchObject({ passed: true, auto: { chosen: 'wasm' } });
    const text = await run('doctor');
    expect(text.stdout).toMatch(/wasm +simd +self-test +ok/);
    expect((await run('doctor', 'x')).code).toBe(2);
  } finally {
    if (before === undefined) delete process.env.VK_ICD_FILENAMES;
    else process.env.VK_ICD_FILENAMES = before;
  }
});
