/** The worker thread of the tests' host: core's worker entry, straight from source. */
import { parentPort } from 'node:worker_threads';
import { serve } from '../../packages/core/src/worker.ts';

const port = parentPort;
if (!port) throw new Error('runs as a worker thread');
serve({
  post: (message: unknown, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer),
  onMessage: (listener: (message: unknown) => void) => {
    port.on('message', listener);
  },
});
