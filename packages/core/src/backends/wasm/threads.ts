import { DeviceError } from '../../errors/index.ts';
import { unpackError } from '../../errors/wire.ts';
import type { Host, WorkerPort } from '../../host.ts';
import { ELSEWHERE } from './exchange.ts';
import type { Reply, Request } from './protocol.ts';

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

/** The worker threads, and the requests that wait for their answers. */
export class ThreadPool {
  readonly size: number;
  readonly #ports: WorkerPort[];
  readonly #waiting: Map<number, Waiting>[];
  #seq = 0;
  #failure: unknown = null;

  constructor(host: Host, size: number) {
    this.size = size;
    this.#waiting = Array.from({ length: size }, () => new Map<number, Waiting>());
    this.#ports = Array.from({ length: size }, (_, rank) => this.#start(host.spawnWorker(), rank));
  }

  /** Asks one thread; it gets the buffers of `transfer`, and nobody here has them any more. */
  one(rank: number, request: Request, transfer: ArrayBuffer[] = []): Promise<unknown> {
    if (this.#failure) return Promise.reject(asError(this.#failure));
    const seq = this.#seq++;
    return new Promise((resolve, reject) => {
      this.#waiting[rank].set(seq, { resolve, reject });
      this.#ports[rank].post({ ...request, seq }, transfer);
    });
  }

  /** Asks every thread; answers by rank, or the first failure once all have answered. */
  async all(request: (rank: number) => Request): Promise<unknown[]> {
    const asked = this.#ports.map((_, rank) => this.one(rank, request(rank)));
    const results = await Promise.allSettled(asked);
    const failures = results.flatMap((result) =>
      result.status === 'rejected' ? [asError(result.reason)] : [],
    );
    // The thread that failed says why; those that waited for it only that it did.
    const cause = failures.find(({ message }) => !message.includes(ELSEWHERE)) ?? failures.at(0);
    if (cause) throw cause;
    return results.map((result) => (result.status === 'fulfilled' ? result.value : undefined));
  }

  async terminate(): Promise<void> {
    this.#fail(
      new DeviceError({
        code: 'MODEL_DISPOSED',
        message: 'The backend was disposed of.',
        fix: 'Load the model again to ask more.',
      }),
    );
    await Promise.all(this.#ports.map((port) => port.terminate()));
  }

  #start(port: WorkerPort, rank: number): WorkerPort {
    port.onMessage((message) => {
      const reply = message as Reply;
      const waiting = this.#waiting[rank].get(reply.seq);
      this.#waiting[rank].delete(reply.seq);
      if ('error' in reply) waiting?.reject(unpackError(reply.error));
      else waiting?.resolve(reply.value);
    });
    port.onError((cause) => {
      this.#fail(
        new DeviceError({
          code: 'WORKER_FAILED',
          message: 'A worker thread ended unexpectedly.',
          fix: 'Load the model again.',
          cause,
        }),
      );
    });
    return port;
  }

  /** Nothing will be answered any more. */
  #fail(error: unknown): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting) {
      for (const { reject } of waiting.values()) reject(error);
      waiting.clear();
    }
  }
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}
