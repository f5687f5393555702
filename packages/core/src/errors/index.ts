import type { ErrorCode } from './codes.ts';

export type { ErrorCode } from './codes.ts';

/** What every error of the SDK carries. */
export interface ErrorDetails {
  /** Stable, for programs. */
  code: ErrorCode;
  /** What is wrong, for people; one sentence. */
  message: string;
  /** What to do about it; one sentence. */
  fix: string;
  cause?: unknown;
}

/**
 * The base of all errors thrown by the SDK. After any of them the model, the cache and the queue stay usable,
 * unless the code is `MODEL_DISPOSED` or `WORKER_FAILED`.
 */
export class LlavaSpError extends Error {
  /** Stable, for programs. */
  readonly code: ErrorCode;
  /** What to do about it, for people; one sentence. */
  readonly fix: string;

  /** Errors are made by the SDK; `message` says what is wrong in one sentence. */
  constructor({ code, message, fix, cause }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
    this.fix = fix;
  }
}

/** The caller passed something that can't be used: correct the call. */
export class ArgumentError extends LlavaSpError {}

/** Valid, but not supported here: choose another format, model or device. */
export class UnsupportedError extends LlavaSpError {}

/** A file or model could not be read: replace or repair it. */
export class LoadError extends LlavaSpError {}

/** The device failed or ran out of memory: free memory, choose another device, or load again. */
export class DeviceError extends LlavaSpError {}

/** The caller asked for it to stop. */
export class AbortedError extends LlavaSpError {
  /** `cause` is the reason of the caller's signal. */
  constructor(cause?: unknown) {
    super({
      code: 'ABORTED',
      message: 'The operation was aborted.',
      fix: 'Nothing: the caller asked for it.',
      cause,
    });
  }
}

/** Throws an {@link AbortedError} once `signal` is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortedError(signal.reason);
}

/** `work`, or an {@link AbortedError} as soon as `signal` is aborted; the work then ends by itself, unheard. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(new AbortedError(signal.reason));
    signal.addEventListener('abort', onAbort, { once: true });
  });
  work.catch(() => undefined);
  try {
    throwIfAborted(signal);
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Waits for all, then throws the first failure: none is left behind unhandled. */
export async function settleAll(promises: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(promises);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
