import { serve } from '../../packages/core/src/backends/wasm/serve.ts';
import type { WorkerPort } from '../../packages/core/src/host.ts';

/** A "thread" that is this one: messages are handed over in a microtask. For one thread only; it starts fast. */
export function sameThread(onMessage: () => void = () => undefined): WorkerPort {
  let toThread: (message: unknown) => void = () => undefined;
  let fromThread: (message: unknown) => void = () => undefined;
  serve({
    onMessage: (listener) => (toThread = listener),
    post: (message) => {
      onMessage();
      queueMicrotask(() => fromThread(message));
    },
  });
  return {
    post: (message) => {
      onMessage();
      queueMicrotask(() => toThread(message));
    },
    onMessage: (listener) => (fromThread = listener),
    onError: () => undefined,
    terminate: () => Promise.resolve(),
  };
}
