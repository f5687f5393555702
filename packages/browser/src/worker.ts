/** What a worker of this package does: its first message says which of the roles it has. */
import { serveModel } from '@llava-sp/core';
import { serve, type WorkerScope } from '@llava-sp/core/worker';
import { createHost } from './host.ts';
import type { Platform } from './platform.ts';
import { serveStore } from './store_worker.ts';
import { READY, type Task } from './workers.ts';

/** Called once by each build's worker file, while it is evaluated: messages are not kept longer. */
export function serveWorker(platform: Platform): void {
  const scope = self as unknown as DedicatedWorkerGlobalScope;
  const messages: WorkerScope = {
    onMessage: (listener) =>
      scope.addEventListener('message', ({ data }: MessageEvent<unknown>) => listener(data)),
    post: (message, transfer) => scope.postMessage(message, transfer),
  };
  const start = ({ data: { role, ...options } }: MessageEvent<Task>): void => {
    switch (role) {
      case 'thread':
        return serve(messages);
      case 'store':
        return serveStore();
      case 'model':
        return serveModel(messages, createHost(platform, { ...options, thread: 'worker' }));
      default:
        role satisfies never;
    }
  };
  scope.addEventListener('message', start, { once: true });
  scope.postMessage(READY);
}
