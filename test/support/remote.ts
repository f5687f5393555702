/** A model in a worker thread of Node, as a browser's adapter has it in a worker. */
import { Worker } from 'node:worker_threads';
import {
  loadRemote,
  type LoadOptions,
  type Model,
  type ModelSource,
  type PageSide,
  type WorkerPort,
} from '@llava-sp/node';

export interface TestPort extends WorkerPort {
  readonly worker: Worker;
  /** Messages both ways so far, and listeners that the link has. */
  messages: number;
  terminated: boolean;
}

export function openPort(): TestPort {
  const worker = new Worker(new URL('./remote_worker.ts', import.meta.url));
  const port: TestPort = {
    worker,
    messages: 0,
    terminated: false,
    post(message, transfer = []) {
      port.messages++;
      worker.postMessage(message, transfer);
    },
    onMessage: (listener) =>
      void worker.on('message', (message) => {
        port.messages++;
        listener(message);
      }),
    onError(listener) {
      worker.on('error', listener);
      worker.on('exit', (code) => {
        if (!port.terminated) listener(new Error(`the worker ended with code ${code}`));
      });
    },
    async terminate() {
      port.terminated = true;
      await worker.terminate();
    },
  };
  return port;
}

export function loadInWorker(
  source: ModelSource,
  options: LoadOptions = {},
  page: PageSide = {},
): Promise<Model> {
  return loadRemote(openPort(), source, options, page);
}
