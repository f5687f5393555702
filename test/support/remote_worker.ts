/** The worker thread of `openRemote`: one model, served to the thread that started it. */
import { parentPort } from 'node:worker_threads';
import { nodeHost, serveModel } from '@llava-sp/node';

const port = parentPort;
if (!port) throw new Error('runs as a worker thread');
serveModel(
  {
    post: (message: unknown, transfer: ArrayBuffer[]) => port.postMessage(message, transfer),
    onMessage: (listener) => void port.on('message', listener),
  },
  nodeHost,
);
