/** A worker thread of the WASM backend. */
import { parentPort } from 'node:worker_threads';
import { serve } from '@llava-sp/core/worker';

const port = parentPort;
if (!port) throw new Error('this file runs as a worker thread');
serve({
  onMessage: (listener) => void port.on('message', listener),
  post: (message, transfer) => port.postMessage(message, transfer),
});
