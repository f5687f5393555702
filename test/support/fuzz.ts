import { expect } from 'vitest';
import { random } from '../text/tokenizers.ts';
import type { Random } from '../weights/mutate.ts';
import { isSdkError } from './sdk_error.ts';

/** Another one: FUZZ_SEED=123 vitest run ... */
export const fuzzSeed = Number(process.env.FUZZ_SEED ?? 20_250_705);
/** One damaged file, all its reading included; the slowest valid one takes some 20 ms on a busy machine. */
const longest = 5000;

/**
 * Reads `count` damaged files. Each must be read, or fail with an error of the SDK that has a code, a message and a fix; no
 * other error, in good time. Both must happen, or the damage is too slight or too heavy to test anything.
 */
export async function fuzz(count: number, salt: number, read: (random: Random) => unknown): Promise<void> {
  const codes = new Map<string, number>();
  let good = 0;
  for (let i = 0; i < count; i++) {
    const caseSeed = fuzzSeed + salt * 1_000_003 + i;
    const begin = performance.now();
    try {
      await read(random(caseSeed));
      good++;
    } catch (error) {
      if (!isSdkError(error)) throw new Error(`case seed ${caseSeed}`, { cause: error });
      expect(error.message.length, error.message.slice(0, 100)).toBeLessThan(5000);
      expect(error.fix).not.toBe('');
      codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
    }
    const time = performance.now() - begin;
    if (time > longest) throw new Error(`case seed ${caseSeed} took ${time.toFixed(0)} ms`);
  }
  const failed = count - good;
  console.log(
    `seed ${fuzzSeed}: ${count} files, ${good} readable, ${[...codes].map((pair) => pair.join(' ')).join(', ')}`,
  );
  expect(good).toBeGreaterThan(count / 100);
  expect(failed).toBeGreaterThan(count / 10);
}
