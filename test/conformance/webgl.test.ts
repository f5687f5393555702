/** Linears by gpu.js against float64, in Chromium, on a WebGL2 that computes on the CPU. */
import { expect, test } from 'vitest';
import { openChromium } from '../support/chromium.ts';
import { WEBGL_ARGS } from '../support/webgl_args.ts';
import type { SuiteResult } from './suite.ts';
import type { WebGlSuiteInput } from './webgl_suite.ts';

test('linears and chains of them', { timeout: 180_000 }, async () => {
  const module = new URL('./webgl_suite.ts', import.meta.url);
  const chromium = await openChromium(module, { args: WEBGL_ARGS });
  try {
    const input: WebGlSuiteInput = { stride: 47, first: 5 };
    const { failures, cases, table } = await chromium.run<SuiteResult>(input, 150_000);
    console.log(table);
    expect(failures.slice(0, 8).join('\n')).toBe('');
    expect(cases).toBeGreaterThan(6);
  } finally {
    await chromium.close();
  }
});
