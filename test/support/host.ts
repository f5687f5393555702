import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Host, WorkerPort } from '../../packages/core/src/host.ts';

const kernels = new URL('../../wasm/dist/', import.meta.url);

/** Threads, and kernels straight from `wasm/dist`: what a backend needs of a host. Files and images are not offered. */
export function createTestHost(options: { sharedMemory?: boolean } = {}): Host {
  const absent = (what: string) => () => Promise.reject(new Error(`the tests' host has no ${what}`));
  return {
    name: 'test',
    hardwareConcurrency: availableParallelism(),
    sharedMemory: options.sharedMemory ?? true,
    openModel: absent('models'),
    readImage: absent('images'),
    decodeImage: absent('images'),
    readKernels: async (file) => new Uint8Array(await readFile(new URL(file, kernels))),
    spawnWorker,
  };
}

function spawnWorker(): WorkerPort {
  const worker = new Worker(new URL('./worker.ts', import.meta.url));
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (listener) => {
      worker.on('message', listener);
    },
    onError: (listener) => {
      worker.on('error', listener);
    },
    terminate: async () => {
      await worker.terminate();
    },
  };
}
