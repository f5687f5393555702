/** Decoding without a round trip a token: the sampled id feeds the next step on the device, ids are read some steps behind. */
import type { DecodeOptions, Sampling } from '../../backend/index.ts';
import { DeviceError, throwIfAborted } from '../../errors/index.ts';
import type { Dispatch } from './dispatch.ts';
import type { Lowering } from './lowering.ts';

/** What the device writes for logits that no token can be chosen from. */
export const NOT_FINITE = 0xffffffff;

/** Whether the most likely token is all that is asked for. */
export function isGreedy({ temperature, repetitionPenalty }: Sampling): boolean {
  return temperature === 0 && repetitionPenalty === 1;
}

export function notFinite(): DeviceError {
  return new DeviceError({
    code: 'LOGITS_NOT_FINITE',
    message: "The model's output is not finite.",
    fix: 'Load the model again; if it happens again, the weights are damaged or the device computes wrongly.',
  });
}

/** Storage indices of the sampler's own list. */
export const SAMPLER = { logits: 0, ids: 1, token: 2, seen: 3, partials: 4 } as const;

/** The dispatches that choose a token from `n` logits. */
export function lowerSampler(l: Lowering, n: number, greedy: boolean): readonly Dispatch[] {
  const storage = (index: number) => ({ kind: 'storage', index }) as const;
  const { logits, ids, token, seen, partials } = SAMPLER;
  if (greedy) {
    const { name, variant } = l.variant('argmax', {});
    const chunk = l.constant(variant, 'CHUNK');
    const count = Math.ceil(n / chunk);
    const perGroup = variant.set.REDUCE === 'none' ? l.constant(variant, 'WG') : 1;
    const params = { n, offset: 0, chunk };
    const groups = [Math.ceil(count / perGroup), 1, 1] as const;
    l.emit('argmax', name, {}, params, [storage(logits), storage(partials)], groups);
    const final = l.variant('argmax_final', {}).name;
    const bindings = [storage(partials), storage(ids), storage(token)];
    l.emit('argmax_final', final, {}, { count, ids_offset: 0 }, bindings, [1, 1, 1]);
  } else {
    const { name } = l.variant('sample', {});
    const bindings = [storage(logits), storage(seen), storage(ids), storage(token)];
    l.emit('sample', name, {}, { n, offset: 0, ids_offset: 0 }, bindings, [1, 1, 1]);
  }
  return l.finish().dispatches;
}

/** What {@link decodeTokens} needs of the backend. */
export interface Stepper {
  /** Steps that may be under way before the oldest id is waited for. */
  readonly ahead: number;
  /** Runs the prompt; leaves its logits to the sampler. */
  prompt(): void;
  /** Writes a decided token where the next step reads it. */
  feed(id: number): void;
  /** Chooses a token from the last logits, feeds it, and says how to read it. */
  sample(draw: number): Promise<number>;
  /** One step at a position. */
  step(pos: number): void;
}

/** The loop of {@link Backend.decode}: yields ids in order, {@link Stepper.ahead} steps behind what was submitted. */
export async function* decodeTokens(
  stepper: Stepper,
  options: DecodeOptions,
): AsyncGenerator<number, void, undefined> {
  const { ids, pos, known, count, sampling, signal } = options;
  const pending: Promise<number>[] = [];
  const settle = async (): Promise<number> => {
    const [oldest] = pending.splice(0, 1);
    const id = await oldest;
    throwIfAborted(signal);
    if (id === NOT_FINITE) throw notFinite();
    return id;
  };
  throwIfAborted(signal);
  stepper.prompt();
  for (let i = 0; i < count; i++) {
    const chance = sampling.temperature === 0 ? 0 : options.draw();
    if (i > 0) stepper.step(pos + ids.length + i - 1);
    if (i < known.length) {
      stepper.feed(known[i]);
      continue;
    }
    const id = stepper.sample(chance);
    // It may fail while nobody waits for it: when the loop was left.
    id.catch(() => undefined);
    pending.push(id);
    if (pending.length >= stepper.ahead) yield await settle();
  }
  while (pending.length > 0) yield await settle();
}
