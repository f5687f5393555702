/** One piece of work at a time, and a way to stop it. */
import { AbortedError, type Model } from 'llava-sp';
import { announce } from './announce.ts';
import { busy, failure, modelState } from './state.ts';

let current: AbortController | null = null;

/** Stops what is under way, if anything is. */
export function stop(): void {
  current?.abort();
}

/**
 * Runs `work`, and stops what was under way before. What goes wrong is shown; being stopped is not wrong.
 *
 * @returns how it ended.
 */
export async function task(
  name: string,
  work: (model: Model, signal: AbortSignal) => Promise<void>,
): Promise<'done' | 'stopped' | 'failed'> {
  const now = modelState.value;
  if (now.kind !== 'ready') {
    failure.set(new Error(now.kind === 'loading' ? 'The model is still loading.' : 'No model is loaded.'));
    return 'failed';
  }
  current?.abort();
  const mine = (current = new AbortController());
  failure.set(null);
  busy.set(name);
  try {
    await work(now.model, mine.signal);
    return 'done';
  } catch (error) {
    if (error instanceof AbortedError || mine.signal.aborted) {
      announce('Stopped.');
      return 'stopped';
    }
    failure.set(error);
    return 'failed';
  } finally {
    // Another one may have taken its place.
    if (current === mine) {
      current = null;
      busy.set(null);
    }
  }
}
