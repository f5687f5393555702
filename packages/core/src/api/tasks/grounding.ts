import { AbortedError } from '../../errors/index.ts';

/** Where something is, in source pixels of the upright picture, inside of it. */
export interface GroundedBox {
  /** Left; smaller than `x2`. */
  readonly x1: number;
  /** Top; smaller than `y2`. */
  readonly y1: number;
  /** Right. */
  readonly x2: number;
  /** Bottom. */
  readonly y2: number;
  /** The mean probability of the coordinates' tokens, by the model alone, in 0..1. */
  readonly score: number;
  /** The phrase that it was asked for. */
  readonly text: string;
}

/** What a grounding comes to. */
export interface Grounded {
  /** In the order of the phrases; none where nothing was found. */
  readonly boxes: readonly GroundedBox[];
}

/** How `ground` looks for phrases. */
export interface GroundOptions {
  /** Boxes of a lower score are left out; 0 keeps all. 0.1 by default. */
  threshold?: number;
  /** Most tokens of the answer to each phrase, as for `ask`. */
  maxTokens?: number;
  /** Stops the work: `AbortedError`, at once. */
  signal?: AbortSignal;
}

/**
 * The boxes of some phrases as they come. Await it for all of them, or iterate for each as soon as it is complete. The work starts
 * at once; to stop it, `break` out of the loop, call {@link Grounding.cancel}, or abort the signal.
 */
export class Grounding implements PromiseLike<Grounded>, AsyncIterable<GroundedBox> {
  readonly #boxes: GroundedBox[] = [];
  readonly #controller = new AbortController();
  readonly #done: Promise<Grounded>;
  #ended = false;
  #wake: (() => void)[] = [];

  /** Not for applications: they get groundings from `model.ground`. */
  constructor(work: (emit: (box: GroundedBox) => void, signal: AbortSignal) => Promise<void>) {
    this.#done = this.#run(work);
    // Whoever awaits or iterates hears of it.
    this.#done.catch(() => undefined);
  }

  /** All boxes. Rejects with what went wrong, an AbortedError when the caller's signal was aborted. */
  then<T = Grounded, E = never>(
    fulfilled?: ((value: Grounded) => T | PromiseLike<T>) | null,
    rejected?: ((reason: unknown) => E | PromiseLike<E>) | null,
  ): Promise<T | E> {
    return this.#done.then(fulfilled, rejected);
  }

  /** Stops the work. The boxes that came so far stay; the loop ends without an error, and so does an `await`. */
  cancel(): void {
    this.#controller.abort();
  }

  /** Every iterator gives the boxes from the first one on. */
  async *[Symbol.asyncIterator](): AsyncGenerator<GroundedBox, void, undefined> {
    let next = 0;
    let whole = false;
    try {
      for (;;) {
        while (next < this.#boxes.length) yield this.#boxes[next++];
        if (this.#ended) break;
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
      whole = true;
    } finally {
      if (!whole) this.cancel();
    }
    await this.#done;
  }

  async #run(
    work: (emit: (box: GroundedBox) => void, signal: AbortSignal) => Promise<void>,
  ): Promise<Grounded> {
    const { signal } = this.#controller;
    try {
      await work((box) => {
        this.#boxes.push(box);
        this.#notify();
      }, signal);
    } catch (error) {
      if (!(signal.aborted && error instanceof AbortedError)) throw error;
    } finally {
      this.#ended = true;
      this.#notify();
    }
    return { boxes: this.#boxes };
  }

  #notify(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}
