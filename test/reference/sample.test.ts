/** The plain definition of sampling against the pipeline's sampler: two ways to the same token. */
import { expect, test } from 'vitest';
import { createSampler } from '../../packages/core/src/pipeline/sampler.ts';
import { distribution } from '../../packages/core/src/reference/sample.ts';
import { Random } from '../support/random.ts';

const plain = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

test.each([
  { ...plain, temperature: 0 },
  { ...plain, temperature: 0, repetitionPenalty: 1.5 },
  plain,
  { ...plain, temperature: 0.6, topK: 7 },
  { ...plain, topP: 0.7, repetitionPenalty: 1.3 },
  { ...plain, temperature: 1.8, topK: 20, topP: 0.9, minP: 0.05 },
])('%o', (sampling) => {
  const random = new Random(5);
  // Some equal, as they are for tokens that no text has.
  const logits = random.normals(60, 2).map((logit) => Math.round(logit * 4) / 4);
  const history = [3, 17, 3, 44];
  const chances = distribution(logits, new Set(history), sampling);
  expect(chances.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
  let below = 0;
  let kept = 0;
  chances.forEach((chance, id) => {
    if (chance > 0) {
      const sampler = createSampler(sampling, logits.length, () => below + chance / 2);
      expect(sampler.sample(logits, history).id).toBe(id);
      kept++;
    }
    below += chance;
  });
  expect(kept).toBeGreaterThan(0);
});
