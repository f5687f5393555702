import { ApiError } from './errors.ts';

/** Lets so many requests wait for the model, and no more: each is answered in its turn. */
export class Admission {
  readonly #most: number;
  #inside = 0;
  /** Milliseconds that an answer takes, by those so far, the latest ones counting most. */
  #typical = 0;

  /** @param maxQueue requests that may wait, beside the one that is being answered. */
  constructor(maxQueue: number) {
    this.#most = maxQueue + 1;
  }

  /** Requests being answered or waiting. */
  get inside(): number {
    return this.#inside;
  }

  /** @throws {ApiError} 429 when the queue is full. */
  check(): void {
    if (this.#inside < this.#most) return;
    const seconds = Math.min(60, Math.max(1, Math.ceil((this.#typical * this.#inside) / 1000)));
    throw new ApiError(
      429,
      'queue_full',
      `${this.#inside} requests wait already. Try again in ${seconds} s.`,
      {
        headers: { 'retry-after': String(seconds) },
      },
    );
  }

  /** Takes a place; what it returns gives it back, with the milliseconds that the answer itself took. */
  enter(): (took: number) => void {
    this.check();
    this.#inside++;
    return (took) => {
      this.#inside--;
      if (took > 0) this.#typical += (took - this.#typical) / (this.#typical > 0 ? 4 : 1);
    };
  }
}
