/** The bundle for a GPU machine: it is small enough, and runs where there is nothing but a driver. */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DRIVERS } from '../support/gpu.ts';
import type { Report } from './gpu_report.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

describe('the bench bundle, on lavapipe with an empty environment', () => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'llava-sp-bundle-'));
    // Built in its usual place, where what was compressed before is kept.
    await run(process.execPath, ['scripts/bench-bundle.mjs'], { cwd: root });
    cpSync(join(root, '.cache/bench-bundle'), folder, { recursive: true });
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is at most 60 MB', () => {
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((f) => f.isFile());
    const bytes = files.reduce((sum, f) => sum + statSync(join(f.parentPath, f.name)).size, 0);
    expect(bytes).toBeLessThan(60e6);
    expect(bytes).toBeGreaterThan(20e6);
  });

  it('measures everything in small and writes JSON', async () => {
    const env = { PATH: '/usr/bin:/bin', VK_ICD_FILENAMES: DRIVERS.lavapipe };
    const { stdout } = await run(join(folder, 'run.sh'), ['--quick'], { env, cwd: '/' });
    expect(stdout).toContain('llvmpipe');
    const report = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as Report;
    expect(report.parts.adapter?.figures?.features).toContain('shader-f16');
    expect(Object.keys(report.parts)).toEqual([
      'adapter',
      'roof',
      'shape tiny-llava-sp',
      'kernels',
      'conformance',
    ]);
    for (const result of Object.values(report.parts)) expect(result).toMatchObject({ error: null });
    const conformance = report.parts.conformance?.figures ?? [];
    expect(conformance.length).toBeGreaterThanOrEqual(5);
    for (const set of conformance) {
      expect(set.failures).toEqual([]);
      expect(set.cases).toBeGreaterThanOrEqual(4);
    }
    const kernels = report.parts.kernels?.figures ?? [];
    expect(new Set(kernels.map(({ kernel }) => kernel))).toEqual(
      new Set(['linear_gemv', 'linear_gemm', 'linear_gemm_int8']),
    );
    for (const { what, value, percent, of } of report.summary) {
      expect(value, what).toBeGreaterThan(0);
      if (of) expect(percent, what).toBeGreaterThan(0);
    }
    const decode = report.parts['shape tiny-llava-sp']?.figures?.decode;
    expect(decode?.tokensPerSecond).toBeGreaterThan(0);
    expect(decode?.kernels.length).toBeGreaterThan(3);
  }, 900_000);

  it('says what is missing without a driver, in the JSON too', async () => {
    const env = { PATH: '/usr/bin:/bin', VK_ICD_FILENAMES: '/nowhere.json' };
    await expect(run(join(folder, 'run.sh'), ['--quick'], { env, cwd: '/' })).rejects.toMatchObject({
      code: 1,
    });
    const report = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as Report;
    expect(Object.keys(report.parts)).toEqual(['adapter']);
    expect(report.parts.adapter?.error).toContain('no WebGPU adapter');
  }, 60_000);
});
