import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { UnsupportedError } from '../../packages/core/src/errors/index.ts';
import type { Host, WorkerPort } from '../../packages/core/src/host.ts';
import { memorySettings } from './memory_settings.ts';

/** One for all hosts of a process: an adapter is tested and measured once, not for every backend. */
const settings = memorySettings();

const kernels = new URL('../../wasm/dist/', import.meta.url);

export interface TestHostOptions {
  sharedMemory?: boolean;
  /**
   * Forces the form of the q4 matrix-vector kernel, which the backend takes by a measurement: both must be right, and a
   * test must not depend on the day's timing.
   */
  q4Gemv?: 'linear_q4_gemv' | 'linear_q4_gemv_dot4';
  /** From `openTestGpu`; without it the host has no WebGPU. */
  gpu?: GPU;
}

/** Threads, and kernels straight from `wasm/dist`: what a backend needs of a host. Files and images are not offered. */
export function createTestHost(options: TestHostOptions = {}): Host {
  const absent = (what: string) => () => Promise.reject(new Error(`the tests' host has no ${what}`));
  return {
    name: 'test',
    hardwareConcurrency: availableParallelism(),
    sharedMemory: options.sharedMemory ?? true,
    openModel: absent('models'),
    readImage: absent('images'),
    decodeImage: absent('images'),
    readKernels: async (file) => new Uint8Array(await readFile(new URL(file, kernels))),
    spawnWorker: () => spawnWorker(options.q4Gemv),
    async openGpu() {
      if (options.gpu) return options.gpu;
      throw new UnsupportedError({
        code: 'BACKEND_UNAVAILABLE',
        message: "The tests' host was given no GPU.",
        fix: 'Pass createTestHost the GPU of openTestGpu.',
      });
    },
    settings,
  };
}

function spawnWorker(q4Gemv: TestHostOptions['q4Gemv']): WorkerPort {
  const worker = new Worker(new URL('./worker.ts', import.meta.url));
  return {
    post: (message, transfer = []) =>
      worker.postMessage(q4Gemv ? withChoice(message, q4Gemv) : message, transfer),
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

function withChoice(message: unknown, q4Gemv: string): unknown {
  const isInit = typeof message === 'object' && message !== null && 'choice' in message;
  return isInit ? { ...message, choice: { q4Gemv } } : message;
}
