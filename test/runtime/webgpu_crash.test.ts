/** A GPU process that crashes in the middle of an answer: a real loss, of every device that the page has. */
import { expect, test } from 'vitest';
import { openChromium } from '../support/chromium.ts';
import type { Crashed } from '../support/crash_in_page.ts';

const TIMEOUT = 300_000;

test('a stream in flight ends with the same text', { timeout: TIMEOUT }, async () => {
  const chromium = await openChromium(new URL('../support/crash_in_page.ts', import.meta.url));
  try {
    const running = chromium.run<Crashed>({ model: '/test/golden/cropping' }, TIMEOUT);
    const halfway = chromium.page.waitForFunction('globalThis.crashNow', { timeout: TIMEOUT });
    halfway.catch(() => undefined);
    // What fails before is heard at once.
    await Promise.race([halfway, running]);
    await chromium.cdp.send('Browser.crashGpuProcess');
    await chromium.page.evaluate('globalThis.crashed = true');
    const { texts, before, pieces, backend, warnings } = await running;
    expect(before).toBeLessThan(pieces - 8);
    expect(texts[0]).not.toBe('');
    expect(texts).toEqual([texts[0], texts[0], texts[0]]);
    expect(backend).toBe('webgpu');
    expect(warnings.map(({ code }) => code)).toEqual(['DEVICE_RECOVERED']);
  } finally {
    await chromium.close();
  }
});
