import { AbortedError, LoadError, untilAborted } from '../errors/index.ts';
import { Interrupted } from './http.ts';

/** How patient a download is. */
export interface Limits {
  /** Failures in a row, without a byte between them, that are tried again. */
  retries: number;
  /** Milliseconds before the first of them; doubled each time, and shortened by chance by up to a half. */
  backoff: number;
  /** Milliseconds without a byte after which a connection counts as broken. */
  stallTimeout: number;
  /** Files at a time. */
  parallel: number;
}

/** The longest back-off, in milliseconds. */
const MOST_BACKOFF = 30_000;
/** However many bytes come between the failures, there is an end. */
const MOST_FAILURES = 200;

/** Counts the failures of one file and waits between them. */
export class Tries {
  #row = 0;
  #all = 0;
  readonly #limits: Limits;
  readonly #name: string;

  constructor(limits: Limits, name: string) {
    this.#limits = limits;
    this.#name = name;
  }

  /**
   * Waits before the next try.
   *
   * @throws {LoadError} `DOWNLOAD_FAILED` when there is none; {@link AbortedError} at once.
   */
  async again(error: Interrupted, progressed: boolean, signal: AbortSignal): Promise<void> {
    if (progressed) this.#row = 0;
    const { retries, backoff } = this.#limits;
    if (++this.#row > retries || ++this.#all > MOST_FAILURES) throw failed(this.#name, error);
    const own = Math.min(backoff * 2 ** (this.#row - 1), MOST_BACKOFF) * (0.5 + Math.random() / 2);
    await sleep(Math.max(own, error.wait ?? 0), signal);
  }
}

function failed(name: string, cause: Interrupted): LoadError {
  return new LoadError({
    code: 'DOWNLOAD_FAILED',
    message: `${name} can't be downloaded: ${cause.message}.`,
    fix: 'Check the connection and try again: what has come is kept, and the download goes on from there.',
    cause,
  });
}

/** @throws {AbortedError} at once. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const slept = new Promise<void>((done) => (timer = setTimeout(done, milliseconds)));
  await untilAborted(slept, signal).finally(() => clearTimeout(timer));
}

/** Guards one request: it is cut off when nothing comes for too long, or the caller aborts. */
export class Watch {
  readonly signal: AbortSignal;
  readonly #stalled = new AbortController();
  readonly #outer: AbortSignal;
  readonly #timeout: number;
  readonly #file: string;

  constructor(timeout: number, outer: AbortSignal, file: string) {
    this.signal = AbortSignal.any([outer, this.#stalled.signal]);
    this.#outer = outer;
    this.#timeout = timeout;
    this.#file = file;
  }

  /** Waits for the next thing to come. @throws {Interrupted} when it does not; {@link AbortedError}. */
  async during<T>(work: Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.#stalled.abort(), this.#timeout);
    try {
      return await untilAborted(work, this.signal);
    } catch (error) {
      if (this.#outer.aborted) throw new AbortedError(this.#outer.reason);
      if (!this.#stalled.signal.aborted) throw error;
      throw new Interrupted(`nothing of ${this.#file} came for ${this.#timeout / 1000} s`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends what is still under way of the request. */
  stop(): void {
    this.#stalled.abort();
  }
}
