/** The workers of this package: one file, whose first message says what it is to do. */
import { DeviceError, type WorkerPort } from '@llava-sp/core';
import type { Platform } from './platform.ts';

/** What a worker is told first. */
export interface Task {
  /** `model`: a model with all it does; `thread`: one of the WASM backend; `store`: writes files of OPFS. */
  readonly role: 'model' | 'thread' | 'store';
  /** What relative addresses are relative to: the page, in which they were written. */
  readonly base: string;
  /** Where gpu.js is. */
  readonly gpuJs?: string;
  /** Of a model: why it is in a worker. */
  readonly threadReason?: string;
}

/** A worker's own first message: it runs. */
export const READY = 'llava-sp ready';

/** Service workers have none. */
export function hasWorkers(): boolean {
  return typeof Worker === 'function';
}

/** What relative addresses are relative to, in a page or worker of the application. */
export function baseAddress(): string {
  return typeof document === 'undefined' ? location.href : document.baseURI;
}

/** Errors of a worker that can't start are a DeviceError `WORKER_FAILED`; `onError` hears of it, or it is thrown. */
export function openWorker(platform: Pick<Platform, 'startWorker'>, task: Task): WorkerPort {
  let worker: Worker;
  try {
    worker = platform.startWorker();
  } catch (cause) {
    throw notStarted(cause);
  }
  // Firefox may lose what is sent to a worker whose module is not evaluated yet.
  let waiting: { message: unknown; transfer: ArrayBuffer[] }[] | null = [{ message: task, transfer: [] }];
  worker.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
    if (data !== READY) return;
    for (const { message, transfer } of waiting ?? []) worker.postMessage(message, transfer);
    waiting = null;
  });
  return {
    post(message, transfer = []) {
      if (waiting) waiting.push({ message, transfer });
      else worker.postMessage(message, transfer);
    },
    onMessage: (listener) =>
      worker.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
        if (data !== READY) listener(data);
      }),
    onError(listener) {
      worker.addEventListener('error', (event: ErrorEvent) => {
        // What is reported here is no error of the page.
        event.preventDefault();
        const cause: unknown = event.error ?? new Error(event.message || 'its file was not loaded');
        listener(waiting ? notStarted(cause) : cause);
      });
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
      "Serve its worker file from the page's own origin, and allow worker-src 'self'. For the development server of Vite before " +
      'version 8, name llava-sp, @llava-sp/browser and @llava-sp/demo-model in optimizeDeps.exclude.',
    cause,
  });
}
