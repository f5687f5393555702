import { AbortedError } from '../errors/index.ts';
import type { AnswerToken, FinishReason, Piece } from '../pipeline/generate.ts';
import type { AnswerListener, AnswerState, AskedPicture, Timings, Usage } from './engine.ts';
import type { Explanation } from './explain.ts';

const NOTHING: AnswerState = {
  usage: { promptTokens: 0, imageTokens: 0, cachedTokens: 0, completionTokens: 0 },
  timings: { queued: 0, image: 0, vision: 0, prefill: 0, decode: 0, total: 0, tokensPerSecond: 0 },
  finishReason: null,
  picture: null,
  explanation: null,
};

type Work = (listener: AnswerListener, signal: AbortSignal) => Promise<AnswerState>;

/**
 * An answer as it comes: iterate over it for pieces of text, or await {@link Answer.text} for the whole. The work
 * starts with `ask` and goes on whether anybody listens or not; to stop it, `break` out of the loop, call
 * {@link Answer.cancel}, or abort the signal given to `ask`.
 */
export class Answer implements AsyncIterable<string> {
  readonly #pieces: string[] = [];
  readonly #tokens: AnswerToken[] = [];
  readonly #controller = new AbortController();
  #state: () => AnswerState = () => NOTHING;
  #ended = false;
  #cancelled = false;
  #error: Error | null = null;
  #wake: (() => void)[] = [];

  /**
   * Not for applications: they get answers from `ask`. `work` does the asking; its signal is aborted by the caller's
   * `signal`, by `cancel`, and by a `break`.
   */
  constructor(work: Work, signal: AbortSignal | undefined) {
    const combined = signal ? AbortSignal.any([signal, this.#controller.signal]) : this.#controller.signal;
    void this.#run(work, combined);
  }

  /** Tokens counted so far; final once the answer has ended. */
  get usage(): Usage {
    return this.#state().usage;
  }

  /** Times measured so far; final once the answer has ended. */
  get timings(): Timings {
    return this.#state().timings;
  }

  /** Why it ended; `null` while it has not, or when it failed. */
  get finishReason(): FinishReason | null {
    return this.#state().finishReason;
  }

  /** The picture that was asked about; `null` until it was read. Known before the first text. */
  get picture(): AskedPicture | null {
    return this.#state().picture;
  }

  /** Where the model looked, when it was asked with `explain`; known before the first text. */
  get explanation(): Explanation | null {
    return this.#state().explanation;
  }

  /** The tokens so far and how likely the model found each, when it was asked with `probabilities`. */
  get tokens(): readonly AnswerToken[] {
    return this.#tokens;
  }

  /** Stops the work. What came so far stays; the loop and `text()` end without an error. */
  cancel(): void {
    if (this.#ended) return;
    this.#cancelled = true;
    this.#controller.abort();
  }

  /** The whole answer. Rejects with what went wrong, an AbortedError when the caller's signal was aborted. */
  async text(): Promise<string> {
    while (!this.#ended) await this.#change();
    if (this.#error) throw this.#error;
    return this.#pieces.join('');
  }

  /** Every iterator gives the answer from its beginning. */
  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    let next = 0;
    let whole = false;
    try {
      for (;;) {
        while (next < this.#pieces.length) yield this.#pieces[next++];
        if (this.#ended) break;
        await this.#change();
      }
      whole = true;
    } finally {
      if (!whole) this.cancel();
    }
    if (this.#error) throw this.#error;
  }

  async #run(work: Work, signal: AbortSignal): Promise<void> {
    const listener: AnswerListener = {
      emit: ({ text, tokens }: Piece) => {
        if (text !== '') this.#pieces.push(text);
        if (tokens) this.#tokens.push(...tokens);
        this.#notify();
      },
      observe: (state) => (this.#state = state),
    };
    try {
      const state = await work(listener, signal);
      this.#state = () => state;
    } catch (error) {
      // What was done until then stays to be read, and the clock stops.
      const state = this.#state();
      const cancelled = this.#cancelled && error instanceof AbortedError;
      this.#state = () => (cancelled ? { ...state, finishReason: 'cancelled' } : state);
      if (!cancelled) this.#error = error instanceof Error ? error : new Error(String(error));
    }
    this.#ended = true;
    this.#notify();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #notify(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}
