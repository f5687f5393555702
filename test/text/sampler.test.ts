import { describe, expect, test } from 'vitest';
import { createRandom } from '../../packages/core/src/pipeline/random.ts';
import { createSampler } from '../../packages/core/src/pipeline/sampler.ts';
import type { Sampler, SamplingOptions } from '../../packages/core/src/pipeline/sampler.ts';
import { random } from './tokenizers.ts';

/** Hugging Face's processors read plainly (transformers' generation/logits_process.py), in float64: the final probabilities. */
function reference(logits: ArrayLike<number>, history: number[], options: SamplingOptions): number[] {
  const { temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = options;
  let scores = Array.from(logits);
  for (const id of new Set(history)) {
    scores[id] = scores[id] < 0 ? scores[id] * repetitionPenalty : scores[id] / repetitionPenalty;
  }
  scores = scores.map((score) => score / temperature);
  if (topK > 0) {
    const kth = [...scores].sort((a, b) => b - a)[Math.min(topK, scores.length) - 1];
    scores = scores.map((score) => (score < kth ? -Infinity : score));
  }
  if (topP < 1) {
    // Ascending; of equal scores the higher id first, so that the lower id is the last to go.
    const ascending = scores.map((_, id) => id).sort((a, b) => scores[a] - scores[b] || b - a);
    const probabilities = softmax(scores);
    let cumulative = 0;
    const removed = ascending.filter((id, i) => {
      cumulative += probabilities[id];
      return cumulative <= 1 - topP && i < ascending.length - 1;
    });
    for (const id of removed) scores[id] = -Infinity;
  }
  if (minP > 0) {
    const probabilities = softmax(scores);
    const least = minP * Math.max(...probabilities);
    scores = scores.map((score, id) => (probabilities[id] < least ? -Infinity : score));
  }
  return softmax(scores);
}

function softmax(scores: number[]): number[] {
  const max = Math.max(...scores);
  const exps = scores.map((score) => Math.exp(score - max));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((value) => value / sum);
}

/** Logits of a language model's kind: many unlikely tokens, some likely. */
function logitsOf(seed: number, vocab: number, spread = 3): Float32Array {
  const next = random(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return Float32Array.from({ length: vocab }, () => spread * normal());
}

const settings: [string, SamplingOptions, number[]][] = [
  ['temperature alone', { temperature: 1 }, []],
  ['a low temperature', { temperature: 0.5 }, []],
  ['a high temperature', { temperature: 2.5 }, []],
  ['top-k', { temperature: 1, topK: 5 }, []],
  ['top-k of one', { temperature: 1, topK: 1 }, []],
  ['top-k past the vocabulary', { temperature: 1, topK: 1000 }, []],
  ['top-p', { temperature: 1, topP: 0.9 }, []],
  ['a tiny top-p', { temperature: 1, topP: 1e-6 }, []],
  ['min-p', { temperature: 1.5, minP: 0.1 }, []],
  ['min-p of one', { temperature: 1, minP: 1 }, []],
  ['a repetition penalty', { temperature: 1, repetitionPenalty: 1.3 }, [0, 1, 1, 1, 5, 9]],
  [
    'all of them',
    { temperature: 0.8, topK: 20, topP: 0.85, minP: 0.05, repetitionPenalty: 1.2 },
    [3, 3, 7, 11],
  ],
  ['top-k and top-p', { temperature: 1.2, topK: 8, topP: 0.7 }, []],
];

describe('the distribution, against a plain reading of Hugging Face', () => {
  const vocab = 40;
  const draws = 20_000;
  const seed = 11;

  test.each(settings)(`%s (seed ${seed})`, (name, options, history) => {
    const logits = logitsOf(seed + name.length, vocab);
    const wanted = reference(logits, history, options);
    const sampler = createSampler({ ...options, seed }, vocab);
    const counts = new Array<number>(vocab).fill(0);
    let difference = 0;
    for (let i = 0; i < draws; i++) {
      const { id, probability } = sampler.sample(logits, history);
      counts[id]++;
      difference = Math.max(difference, Math.abs(probability - wanted[id]));
    }
    // Both are float64 sums of at most 40 terms.
    expect(difference).toBeLessThan(1e-12);
    // Chi-square over the tokens expected at least five times, the rest as one cell.
    let chi = 0;
    let cells = 0;
    let rest = { expected: 0, count: 0 };
    wanted.forEach((probability, id) => {
      const expected = probability * draws;
      if (expected === 0) expect(counts[id]).toBe(0);
      else if (expected < 5) rest = { expected: rest.expected + expected, count: rest.count + counts[id] };
      else {
        chi += (counts[id] - expected) ** 2 / expected;
        cells++;
      }
    });
    if (rest.expected > 0) {
      chi += (rest.count - rest.expected) ** 2 / rest.expected;
      cells++;
    }
    const free = Math.max(cells - 1, 1);
    // Mean + 4.5 standard deviations of chi-square: passed by chance but one time in some 10,000.
    expect(chi, `chi-square of ${cells} cells`).toBeLessThan(free + 4.5 * Math.sqrt(2 * free));
  });

  test('top-k keeps what ties with its last', () => {
    const logits = Float32Array.of(1, 3, 2, 2, 2, 0);
    const sampler = createSampler({ temperature: 1, topK: 2, seed }, 6);
    const ids = new Set(Array.from({ length: 500 }, () => sampler.sample(logits, []).id));
    expect([...ids].sort()).toEqual([1, 2, 3, 4]);
  });

  test('of equally likely tokens top-p keeps the lowest ids', () => {
    const sampler = createSampler({ temperature: 1, topP: 0.5, seed }, 8);
    const ids = new Set(Array.from({ length: 500 }, () => sampler.sample(new Float32Array(8), []).id));
    expect([...ids].sort()).toEqual([0, 1, 2, 3]);
  });

  test.each(settings)(
    '%s: the draw goes through the kept tokens in order of id',
    (name, options, history) => {
      const logits = logitsOf(seed + name.length, vocab);
      const wanted = reference(logits, history, options);
      const sampler = createSampler({ ...options, seed }, vocab);
      const uniform = createRandom(seed);
      for (let i = 0; i < 500; i++) {
        // The inverse of the cumulative distribution; a draw this near to a step may round to either side.
        const drawn = uniform();
        const { id } = sampler.sample(logits, history);
        const below = wanted.slice(0, id).reduce((sum, probability) => sum + probability, 0);
        expect(drawn).toBeGreaterThan(below - 1e-12);
        expect(drawn).toBeLessThan(below + wanted[id] + 1e-12);
      }
    },
  );

  test('random options and logits: the kept sets agree', () => {
    const next = random(3);
    for (let round = 0; round < 300; round++) {
      const size = 2 + Math.floor(next() * 60);
      const logits = logitsOf(1000 + round, size, 0.2 + 4 * next());
      if (next() < 0.3) logits[Math.floor(next() * size)] = -Infinity;
      const options: SamplingOptions = {
        temperature: 0.2 + 2 * next(),
        topK: next() < 0.5 ? 0 : 1 + Math.floor(next() * size),
        topP: next() < 0.5 ? 1 : 0.05 + 0.94 * next(),
        minP: next() < 0.5 ? 0 : next(),
        repetitionPenalty: next() < 0.5 ? 1 : 0.7 + next(),
      };
      const history = Array.from({ length: Math.floor(next() * 10) }, () => Math.floor(next() * size));
      const wanted = reference(logits, history, options);
      const sampler = createSampler({ ...options, seed: round }, size);
      for (let i = 0; i < 30; i++) {
        const { id, probability } = sampler.sample(logits, history);
        expect(Math.abs(probability - wanted[id]), JSON.stringify({ options, id })).toBeLessThan(1e-12);
      }
    }
  });
});

describe('greedy', () => {
  test('is the default: the most likely token, its probability among all', () => {
    const logits = logitsOf(5, 1000);
    const best = logits.indexOf(Math.max(...logits));
    const { id, probability } = createSampler({}, 1000).sample(logits, []);
    expect(id).toBe(best);
    expect(probability).toBeCloseTo(softmax([...logits])[best], 12);
  });

  test('takes the lowest of equal ids, and heeds the repetition penalty', () => {
    const logits = Float32Array.of(0, 5, 5, 4.9, -1);
    expect(createSampler({}, 5).sample(logits, [1, 2]).id).toBe(1);
    expect(createSampler({ repetitionPenalty: 1.1 }, 5).sample(logits, [1, 2]).id).toBe(3);
    expect(createSampler({ repetitionPenalty: 1.1 }, 5).sample(logits, [1, 1, 1]).id).toBe(2);
    // Negative scores move away from zero; ids outside the vocabulary are of no account.
    const negative = Float32Array.of(-1, -1.05);
    expect(createSampler({ repetitionPenalty: 1.1 }, 2).sample(negative, [0, -1, 77]).id).toBe(1);
  });
});

describe('the seed', () => {
  const logits = logitsOf(8, 500);
  const run = (seed?: number) => {
    const sampler = createSampler({ temperature: 1, seed }, 500);
    return { seed: sampler.seed, ids: Array.from({ length: 50 }, () => sampler.sample(logits, []).id) };
  };

  test('decides the answer; without one it is random, and told', () => {
    expect(run(1)).toEqual(run(1));
    expect(run(1).ids).not.toEqual(run(2).ids);
    expect(run(2 ** 32 + 1).ids).not.toEqual(run(1).ids);
    const first = run();
    expect(run(first.seed)).toEqual(first);
    expect(run().ids).not.toEqual(first.ids);
  });

  test('gives its numbers to tokens one by one, unless others are given', () => {
    const logits = logitsOf(8, 500);
    const choices = (sampler: Sampler) => Array.from({ length: 20 }, () => sampler.sample(logits, []).id);
    const given = createSampler({ temperature: 1 }, 500, createRandom(1));
    expect(choices(given)).toEqual(choices(createSampler({ temperature: 1, seed: 1 }, 500)));
    let drawn = 0;
    choices(createSampler({}, 500, () => drawn++));
    expect(drawn).toBe(0);
  });

  test('the sequence is what it always was', () => {
    // xoshiro128** with splitmix32, computed by an independent transcription in Python.
    const next = createRandom(42);
    expect(Array.from({ length: 3 }, next)).toEqual([
      0.15377165265745885, 0.018084542542176507, 0.5348906284683476,
    ]);
  });
});

describe('bad input', () => {
  test.each([
    ['NaN', [1, NaN, 2]],
    ['+infinity', [1, Infinity, 2]],
    ['all -infinity', [-Infinity, -Infinity, -Infinity]],
    ['too few logits', [1, 2]],
  ])('%s: an error, and the sampler stays usable', (_, values) => {
    for (const temperature of [0, 1]) {
      const sampler = createSampler({ temperature, seed: 1 }, 3);
      expect(() => sampler.sample(Float32Array.from(values), [])).toThrow(
        expect.objectContaining({ code: 'LOGITS_NOT_FINITE' }),
      );
      expect(sampler.sample(Float32Array.of(-Infinity, 1, -Infinity), []).id).toBe(1);
    }
  });

  test.each([
    ['temperature', -1],
    ['temperature', NaN],
    ['temperature', '1'],
    ['topK', 1.5],
    ['topK', -1],
    ['topP', 0],
    ['topP', 1.1],
    ['minP', -0.1],
    ['minP', NaN],
    ['repetitionPenalty', 0],
    ['seed', 1.5],
    ['seed', -1],
    ['seed', Infinity],
    ['seed', null],
  ])('%s: %j', (name, value) => {
    expect(() => createSampler({ [name]: value }, 5)).toThrow(
      expect.objectContaining({ code: 'OPTION_INVALID', message: expect.stringContaining(name) as string }),
    );
  });
});
