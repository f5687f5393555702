/** What the demo model says, where each load takes the faster build of WASM's kernels. */
import { modelUrl } from '@llava-sp/demo-model';
import { load, type Model } from '@llava-sp/node';
import { expect } from 'vitest';

/**
 * Stands for the demo model's greedy answer in Node on one thread, and so everywhere by WASM. Compare with `toEqual`: of two
 * tokens as good as equally likely the two builds of the kernels may take either.
 */
export async function answered(ask: (model: Model) => Promise<string>): Promise<string> {
  const texts: string[] = [];
  for (const kernels of ['simd', 'relaxed'] as const) {
    const model = await load(modelUrl, { device: 'wasm', threads: 1, kernels });
    try {
      texts.push(await ask(model));
    } finally {
      await model.dispose();
    }
  }
  return expect.toBeOneOf(texts) as string;
}
