import { AbortedError, ArgumentError, DeviceError } from '../../errors/index.ts';
import { unpackError } from '../../errors/wire.ts';
import type { WorkerPort } from '../../host.ts';
import type { TakenImage } from '../image.ts';
import type { Event, FromWorker, Request, SentImage, ToWorker } from './protocol.ts';

/** Milliseconds that a worker has to free what it holds before it is ended all the same. */
const PATIENCE = 5000;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onEvent: RequestOptions['onEvent'];
  readonly onLate: RequestOptions['onLate'];
  /** Ends the request on this side. */
  readonly end: () => void;
}

export interface RequestOptions {
  readonly signal?: AbortSignal;
  readonly transfer?: ArrayBuffer[];
  /** The picture that the request leaves for later. */
  readonly image?: Promise<TakenImage>;
  readonly onEvent?: (event: Event) => void;
  /** Gets the answer to a request that was given up. */
  readonly onLate?: (value: unknown) => void;
}

type Warned = Extract<FromWorker, { type: 'warning' }>;

/** Requests to a worker and their answers. */
export class Link {
  readonly #port: WorkerPort;
  readonly #waiting = new Map<number, Waiting>();
  /** Of requests that were given up, whose answers are not in vain. */
  readonly #late = new Map<number, (value: unknown) => void>();
  readonly #onWarning: (message: Warned) => void;
  #nextId = 1;
  /** Why nothing will be answered any more. */
  #failure: Error | null = null;
  #dead = false;
  #closed: Promise<void> | null = null;

  constructor(port: WorkerPort, onWarning: (message: Warned) => void) {
    this.#port = port;
    this.#onWarning = onWarning;
    port.onMessage((message) => this.#hear(message as FromWorker));
    port.onError((cause) => {
      this.#dead = true;
      this.#fail(cause instanceof DeviceError ? cause : workerFailed(cause));
    });
  }

  /**
   * Rejects as soon as `signal` is aborted; the worker is told, and ends the work by itself.
   *
   * @throws {DeviceError} `WORKER_FAILED` when the worker ends; {@link AbortedError}; what the worker says.
   */
  request(request: Request, options: RequestOptions = {}): Promise<unknown> {
    const { signal, transfer, image, onEvent, onLate } = options;
    if (this.#failure) return Promise.reject(this.#failure);
    if (signal?.aborted) return Promise.reject(new AbortedError(signal.reason));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => this.#giveUp(id, new AbortedError(signal?.reason));
      const end = (): void => {
        this.#waiting.delete(id);
        signal?.removeEventListener('abort', onAbort);
      };
      this.#waiting.set(id, { resolve, reject, onEvent, onLate, end });
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        this.#post({ ...request, id }, transfer);
      } catch (cause) {
        end();
        reject(notSent(cause));
        return;
      }
      image
        ?.then((taken) => {
          if (this.#waiting.has(id)) this.#post({ type: 'image', id, image: taken }, buffersOf(taken));
        })
        .catch((error: unknown) => this.#giveUp(id, error));
    });
  }

  /** No answer is wanted. */
  tell(message: Extract<ToWorker, { type: 'release' }>): void {
    if (!this.#failure) this.#post(message);
  }

  /** Ends the worker once it has freed what it holds; what is under way fails with `failure`. */
  close(failure: Error): Promise<void> {
    return (this.#closed ??= this.#close(failure));
  }

  async #close(failure: Error): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      if (this.#failure) return;
      const freed = this.request({ type: 'dispose' }).catch((error: unknown) => {
        // What a worker held is free once it is dead.
        if (!this.#dead) throw error;
      });
      this.#fail(failure, this.#nextId - 1);
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, PATIENCE)));
      await Promise.race([freed, late]);
    } finally {
      clearTimeout(timer);
      await this.#port.terminate();
    }
  }

  #post(message: ToWorker, transfer: ArrayBuffer[] = []): void {
    this.#port.post(message, transfer);
  }

  #hear(message: FromWorker): void {
    if (message.type === 'warning') {
      this.#onWarning(message);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    if (!waiting) {
      // Nobody waits any more for what was given up.
      if (message.type === 'done') this.#late.get(message.id)?.(message.value);
      if (message.type !== 'event') this.#late.delete(message.id);
      return;
    }
    if (message.type === 'event') {
      try {
        waiting.onEvent?.(message.event);
      } catch (error) {
        this.#giveUp(message.id, error);
      }
      return;
    }
    waiting.end();
    if (message.type === 'done') waiting.resolve(message.value);
    else waiting.reject(unpackError(message.error));
  }

  #giveUp(id: number, error: unknown): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    waiting.end();
    if (waiting.onLate) this.#late.set(id, waiting.onLate);
    this.#post({ type: 'abort', id });
    waiting.reject(error);
  }

  /** All requests end, but for the last one of a link that closes. */
  #fail(error: Error, last?: number): void {
    this.#failure ??= error;
    for (const [id, waiting] of this.#waiting) {
      if (id === last) continue;
      waiting.end();
      waiting.reject(error);
    }
  }
}

/** A picture for a message, with its buffers: they were copied for it, and are not needed here any more. */
export function sent(image: TakenImage | Promise<TakenImage>): {
  readonly image: SentImage;
  readonly options: Pick<RequestOptions, 'image' | 'transfer'>;
} {
  if (image instanceof Promise) return { image: 'later', options: { image } };
  return { image, options: { transfer: buffersOf(image) } };
}

function buffersOf(image: TakenImage): ArrayBuffer[] {
  const data = image.kind === 'encoded' ? image.bytes : image.kind === 'raw' ? image.image.data : null;
  return data?.buffer instanceof ArrayBuffer ? [data.buffer] : [];
}

export function workerFailed(cause: unknown): DeviceError {
  return new DeviceError({
    code: 'WORKER_FAILED',
    message: 'A worker thread ended unexpectedly.',
    fix: 'Load the model again.',
    cause,
  });
}

function notSent(cause: unknown): ArgumentError {
  return new ArgumentError({
    code: 'OPTION_INVALID',
    message: `What was passed can't be handed to the model's worker: ${cause instanceof Error ? cause.message : String(cause)}`,
    fix: 'Pass plain values: texts, numbers, arrays, Blobs.',
    cause,
  });
}
