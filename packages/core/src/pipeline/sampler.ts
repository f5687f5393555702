import { ArgumentError, DeviceError } from '../errors/index.ts';
import { createRandom } from './random.ts';

/** How the next token is chosen. Without any, it is the most likely one (greedy). */
export interface SamplingOptions {
  /** The logits' divisor. 0, the default, is greedy: of the other options only `repetitionPenalty` counts then. */
  temperature?: number;
  /** Keep the k most likely tokens, and any as likely as the last of them. 0, the default: all. */
  topK?: number;
  /** Keep the fewest of the most likely tokens that hold this share of the probability. 1, the default: all. */
  topP?: number;
  /** Keep the tokens that are at least this times as likely as the most likely one. 0, the default: all. */
  minP?: number;
  /** Above 1, tokens seen before become less likely. 1, the default: off. */
  repetitionPenalty?: number;
  /** A whole number: the same seed and logits give the same answer. By default a random one. */
  seed?: number;
}

export interface Sample {
  readonly id: number;
  /**
   * Of this token among those left to choose from (greedy: among all), after penalty and temperature. Greedy computes it when
   * it is read, which must be before the next token.
   */
  readonly probability: number;
}

export interface Sampler {
  /** The seed in use: pass it again to repeat the answer. */
  readonly seed: number;
  /**
   * Chooses from the first `vocab` of the logits, which stay unchanged. `history` holds the ids that the repetition penalty
   * sees, `allowed` the tokens there are to choose from (bit `id % 32` of word `id >> 5`), all without it. The result is one object
   * that the next call overwrites: a token allocates nothing.
   *
   * @throws {DeviceError} `LOGITS_NOT_FINITE` when a logit is NaN or +infinity, or all that are allowed are -infinity.
   */
  sample(logits: Float32Array, history: ArrayLike<number>, allowed?: Uint32Array | null): Sample;
}

/** Terms below e^-40 of the largest add less than one part in 10^12, whatever the vocabulary. */
const negligible = -40;

/**
 * The logits processors of Hugging Face's `generate` in its order (repetition penalty, temperature, top-k, top-p, min-p),
 * then a draw over the tokens that are left; computed in float64. Of equally likely tokens the lower id is kept first.
 *
 * The draw goes through them in order of id: a device that samples needs no sorted list then, and gives the same answer
 * for a seed.
 *
 * @param vocab the number of logits.
 * @param draw gives a number in [0, 1) for each token; not called when greedy. By default `createRandom(seed)`.
 * @throws {ArgumentError} `OPTION_INVALID` naming the option.
 */
export function createSampler(options: SamplingOptions, vocab: number, draw?: () => number): Sampler {
  const { temperature, topK, topP, minP, repetitionPenalty, seed } = checkSampling(options);
  const uniform = draw ?? createRandom(seed);
  const scores = new Float64Array(vocab);
  const heap = new Uint32Array(vocab);
  const kept = new Uint32Array(vocab);
  const weights = new Float64Array(vocab);
  const marks = new Uint32Array(repetitionPenalty === 1 ? 0 : vocab);
  let round = 0;
  // In a typed array, because a number in a closure's variable is allocated anew whenever it changes.
  const range = new Float64Array(3);
  const [max, share, mass] = [0, 1, 2];

  /** Each token of the history once, however often it came. */
  const penalise = (history: ArrayLike<number>): void => {
    round++;
    for (let i = 0; i < history.length; i++) {
      const id = history[i];
      if (!(id >= 0 && id < vocab) || marks[id] === round) continue;
      marks[id] = round;
      scores[id] *= scores[id] < 0 ? repetitionPenalty : 1 / repetitionPenalty;
    }
  };

  /** Moves the most likely tokens that are possible from the heap to `kept` until `done` says so of the next; returns how many. */
  const take = (done: (count: number, id: number) => boolean): number => {
    for (let i = 0; i < vocab; i++) heap[i] = i;
    heapify(heap, scores);
    let count = 0;
    while (count < vocab && scores[heap[0]] > -Infinity && !done(count, heap[0])) {
      kept[count++] = heap[0];
      heap[0] = heap[vocab - count];
      sink(heap, scores, 0, vocab - count);
    }
    return count;
  };
  const pastTopK = (count: number, id: number): boolean =>
    count >= topK && scores[id] < scores[kept[topK - 1]];
  const pastTopP = (_count: number, id: number): boolean => {
    if (range[mass] >= range[share]) return true;
    range[mass] += Math.exp(scores[id] - range[max]);
    return false;
  };

  /** Puts the `count` most likely tokens, which `take` left in that order, in the order of their ids. */
  const order = (count: number): void => {
    const last = kept[count - 1];
    let next = 0;
    for (let i = 0; i < vocab; i++) if (!before(scores, last, i)) kept[next++] = i;
  };

  /** Fills `kept` with the tokens left to choose from, by id. */
  const filter = (): number => {
    let count = vocab;
    range[mass] = 0;
    if (topK > 0 && topK < vocab) {
      count = take(pastTopK);
      if (topP < 1) {
        range[share] = 0;
        for (let i = 0; i < count; i++) range[share] += topP * Math.exp(scores[kept[i]] - range[max]);
        let cut = 0;
        while (cut < count && !pastTopP(cut, kept[cut])) cut++;
        count = cut;
      }
      order(count);
    } else if (topP < 1) {
      range[share] = topP * sumExp(scores, range[max]);
      count = take(pastTopP);
      order(count);
    } else {
      for (let i = 0; i < vocab; i++) kept[i] = i;
    }
    if (minP === 0) return count;
    let likely = 0;
    for (let i = 0; i < count; i++) {
      if (Math.exp(scores[kept[i]] - range[max]) >= minP) kept[likely++] = kept[i];
    }
    return likely;
  };

  const choose = (count: number): void => {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += weights[i] = Math.exp(scores[kept[i]] - range[max]);
    let rest = uniform() * sum;
    let pick = 0;
    while (pick < count - 1 && (rest -= weights[pick]) >= 0) pick++;
    // Rounding may carry the draw onto a last token that can't be chosen.
    while (weights[pick] === 0) pick--;
    result.id = kept[pick];
    chosen[0] = weights[pick] / sum;
  };

  // NaN until someone asks: greedy needs no exponentials over the vocabulary, which cost more than all the rest.
  const chosen = new Float64Array(1);
  const result = {
    id: 0,
    get probability(): number {
      if (Number.isNaN(chosen[0])) chosen[0] = 1 / sumExp(scores, scores[result.id]);
      return chosen[0];
    },
  };

  return {
    seed,
    sample(logits, history, allowed = null) {
      copyFinite(logits, scores, allowed);
      if (repetitionPenalty !== 1) penalise(history);
      result.id = argmax(scores);
      chosen[0] = NaN;
      if (temperature === 0) return result;
      for (let i = 0; i < vocab; i++) scores[i] /= temperature;
      range[max] = scores[result.id];
      choose(filter());
      return result;
    },
  };
}

/** A silent wrong answer is worse than none: argmax over NaN would give token 0 for ever. */
function copyFinite(logits: Float32Array, scores: Float64Array, allowed: Uint32Array | null): void {
  let possible = false;
  for (let i = 0; i < scores.length; i++) {
    const logit = logits[i];
    // False for NaN, +infinity, and a value that is not there.
    if (!(logit < Infinity)) notFinite(`logit ${i} is ${logit}`);
    const choosable = allowed === null || ((allowed[i >> 5] >>> (i & 31)) & 1) === 1;
    possible ||= choosable && logit > -Infinity;
    scores[i] = choosable ? logit : -Infinity;
  }
  if (!possible) notFinite('no token is possible');
}

/** How likely a token is by the logits alone: their softmax over the first `vocab`, in 0..1. */
export function probabilityOf(logits: Float32Array, id: number, vocab: number): number {
  let max = -Infinity;
  for (let i = 0; i < vocab; i++) if (logits[i] > max) max = logits[i];
  let sum = 0;
  for (let i = 0; i < vocab; i++) {
    const distance = logits[i] - max;
    if (distance > negligible) sum += Math.exp(distance);
  }
  return Math.exp(logits[id] - max) / sum;
}

function notFinite(what: string): never {
  throw new DeviceError({
    code: 'LOGITS_NOT_FINITE',
    message: `The model's output is not finite: ${what}.`,
    fix: 'Load the model again; if it happens again, the weights are damaged or the device computes wrongly.',
  });
}

function argmax(scores: Float64Array): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i] > scores[best]) best = i;
  return best;
}

function sumExp(scores: Float64Array, max: number): number {
  let sum = 0;
  for (let i = 0; i < scores.length; i++) {
    const distance = scores[i] - max;
    if (distance > negligible) sum += Math.exp(distance);
  }
  return sum;
}

/** Whether token `a` comes before token `b`. */
function before(scores: Float64Array, a: number, b: number): boolean {
  return scores[a] > scores[b] || (scores[a] === scores[b] && a < b);
}

function heapify(heap: Uint32Array, scores: Float64Array): void {
  for (let i = (heap.length >> 1) - 1; i >= 0; i--) sink(heap, scores, i, heap.length);
}

/** Restores the heap `heap[0..size)` below `root`. */
function sink(heap: Uint32Array, scores: Float64Array, root: number, size: number): void {
  const id = heap[root];
  let at = root;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && before(scores, heap[child + 1], heap[child])) child++;
    if (!before(scores, heap[child], id)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = id;
}

/**
 * The options with their defaults; without a seed, a random one.
 *
 * @throws {ArgumentError} `OPTION_INVALID` naming the option.
 */
export function checkSampling(options: SamplingOptions): Required<SamplingOptions> {
  const { temperature = 0, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = options;
  const { seed = Math.floor(Math.random() * 2 ** 32) } = options;
  require('temperature', temperature, 'a number from 0 to 100', temperature >= 0 && temperature <= 100);
  require('topK', topK, 'a whole number, 0 for all', Number.isSafeInteger(topK) && topK >= 0);
  require('topP', topP, 'a number above 0 and at most 1', topP > 0 && topP <= 1);
  require('minP', minP, 'a number from 0 to 1', minP >= 0 && minP <= 1);
  const penalty = repetitionPenalty >= 0.01 && repetitionPenalty <= 100;
  require('repetitionPenalty', repetitionPenalty, 'a number from 0.01 to 100, 1 for off', penalty);
  require('seed', seed, 'a whole number from 0 to 2^53 - 1', Number.isSafeInteger(seed) && seed >= 0);
  return { temperature, topK, topP, minP, repetitionPenalty, seed };
}

function require(name: string, value: unknown, wanted: string, valid: boolean): void {
  if (valid && typeof value === 'number') return;
  throw new ArgumentError({
    code: 'OPTION_INVALID',
    message: `${name} is ${String(value)}; it must be ${wanted}.`,
    fix: `Correct ${name}, or leave it out for the default.`,
  });
}
