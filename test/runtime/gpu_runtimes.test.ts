/** The runtimes that tests compute in have the WebGPU that they are said to have. */
import { expect, test } from 'vitest';
import { openChromium } from '../support/chromium.ts';
import { runInDeno } from '../support/deno.ts';
import type adapterInfo from '../support/adapter_info.ts';

type Info = Awaited<ReturnType<typeof adapterInfo>>;
const module = new URL('../support/adapter_info.ts', import.meta.url);

test('Deno computes on lavapipe', async () => {
  const info = await runInDeno<Info>(module);
  expect(info.description).toContain('llvmpipe');
  expect(info.features).toContain('shader-f16');
  expect(info.sum).toEqual([0, 3, 6, 9]);
});

test('Chromium computes on SwiftShader, in a page where memory can be shared', async () => {
  const chromium = await openChromium(module);
  try {
    const info = await chromium.run<Info>();
    expect(info.features).toContain('subgroups');
    expect(info.features).not.toContain('shader-f16');
    expect(info.sum).toEqual([0, 3, 6, 9]);
    expect(await chromium.page.evaluate('crossOriginIsolated')).toBe(true);

    // A page's error arrives as one.
    await expect(chromium.page.evaluate('Promise.reject(new Error("here"))')).rejects.toThrow('here');
  } finally {
    await chromium.close();
  }
});
