/** The workers of this package: one file, whose first message says what it is to do. */
import { DeviceError, type WorkerPort } from '@llava-sp/core';
import { serve } from '@llava-sp/core/worker';
import type { Platform } from './platform.ts';

/** `model`: a model with all it does; `thread`: one of the WASM backend; `store`: writes files of OPFS. */
export interface Task {
  readonly role: 'model' | 'thread' | 'store';
  /** What relative addresses are relative to: those of the page, in which they were written. */
  readonly base: string;
}

/** A worker's own first message: it runs. */
export const READY = 'llava-sp ready';

export interface OpenWorker extends WorkerPort {
  /** Resolves once its code runs; rejects with a DeviceError `WORKER_FAILED` where that can't be. */
  readonly ready: Promise<void>;
}

/** Service workers have none. */
export function hasWorkers(): boolean {
  return typeof Worker === 'function';
}

/** What relative addresses are relative to, in a page or worker of the application. */
export function baseAddress(): string {
  return typeof document === 'undefined' ? location.href : document.baseURI;
}

export function openWorker(platform: Pick<Platform, 'startWorker'>, task: Task): OpenWorker {
  let worker: Worker;
  try {
    worker = platform.startWorker();
  } catch (cause) {
    throw notStarted(cause);
  }
  let running = false;
  const ready = new Promise<void>((resolve, reject) => {
    worker.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
      if (data !== READY) return;
      running = true;
      resolve();
    });
    worker.addEventListener('error', ({ error, message }: ErrorEvent) => {
      if (!running) reject(notStarted(error ?? new Error(message || 'the worker file was not loaded')));
    });
  });
  // Not everybody waits for it.
  ready.catch(() => undefined);
  worker.postMessage(task);
  return {
    ready,
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (listener) =>
      worker.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
        if (data !== READY) listener(data);
      }),
    onError(listener) {
      worker.addEventListener('error', ({ error, message }: ErrorEvent) =>
        listener(running ? (error ?? new Error(message)) : notStarted(error ?? new Error(message))),
      );
      worker.addEventListener('messageerror', () => listener(new Error('a message could not be read')));
    },
    terminate: async () => worker.terminate(),
  };
}

function notStarted(cause: unknown): DeviceError {
  return new DeviceError({
    code: 'WORKER_FAILED',
    message: 'The worker of this package could not be started.',
    fix:
      "Serve its worker file from the page's own origin, and allow worker-src 'self'. For Vite's development server, name " +
      'llava-sp, @llava-sp/browser and @llava-sp/demo-model in optimizeDeps.exclude.',
    cause,
  });
}

/**
 * A thread of the WASM backend in the thread at hand, for where there are no workers: in service workers. Messages take their
 * turn with other events, so that what else happens there is heard between two steps.
 */
export function threadInPlace(): WorkerPort {
  const { port1: near, port2: far } = new MessageChannel();
  serve({
    onMessage: (listener) => listen(far, listener),
    post: (message, transfer) => far.postMessage(message, transfer),
  });
  return {
    post: (message, transfer = []) => near.postMessage(message, transfer),
    onMessage: (listener) => listen(near, listener),
    onError: () => undefined,
    terminate: async () => near.close(),
  };
}

function listen(port: MessagePort, listener: (message: unknown) => void): void {
  port.onmessage = ({ data }: MessageEvent<unknown>) => listener(data);
}
