/** The built package under `deno test`. */
import { expect, test } from 'vitest';
import { deno } from '../support/deno.ts';

test('deno test: pictures, answers and the cache', async () => {
  const output = await deno(
    [
      'test',
      '--no-prompt',
      '--no-check',
      '--allow-read',
      '--allow-write',
      '--allow-env',
      '--allow-net=127.0.0.1',
      ...['images', 'model', 'cache'].map((name) => `test/deno/${name}_test.ts`),
    ],
    '',
    120_000,
  );
  expect(output).toMatch(/ok \| 7 passed \| 0 failed/);
});
