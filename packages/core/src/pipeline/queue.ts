import { throwIfAborted, untilAborted } from '../errors/index.ts';

/** Runs jobs one after another, in the order they came; a failed or aborted job does not disturb the next. */
export class Queue {
  #tail: Promise<void> = Promise.resolve();

  /** Runs `job` when all earlier ones are done; a job aborted while it waits never starts. */
  async run<T>(job: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    throwIfAborted(signal);
    const before = this.#tail;
    let finish = (): void => undefined;
    this.#tail = new Promise((resolve) => (finish = resolve));
    try {
      await untilAborted(before, signal);
    } catch (error) {
      // Whoever comes next waits for those before this one.
      void before.then(finish);
      throw error;
    }
    try {
      return await job();
    } finally {
      finish();
    }
  }
}
