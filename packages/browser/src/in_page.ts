/** All that computes: loaded by pages that want it in their own thread, and by service workers. */
import {
  doctor,
  loadModel,
  type DoctorOptions,
  type DoctorReport,
  type Host,
  type LoadOptions,
  type Model,
  type ModelSource,
  type WorkerPort,
} from '@llava-sp/core';
import { serve } from '@llava-sp/core/worker';
import { createHost, type HostOptions } from './host.ts';
import type { Platform } from './platform.ts';
import { hasWorkers } from './workers.ts';

export function loadHere(
  platform: Platform,
  host: HostOptions,
  source: ModelSource,
  options: LoadOptions,
): Promise<Model> {
  return loadModel(hostHere(platform, host), source, options);
}

export function doctorHere(
  platform: Platform,
  host: HostOptions,
  options: DoctorOptions,
): Promise<DoctorReport> {
  return doctor(hostHere(platform, host), options);
}

function hostHere(platform: Platform, options: HostOptions): Host {
  const host = createHost(platform, options);
  return hasWorkers() ? host : { ...host, spawnWorker: threadInPlace };
}

/**
 * A thread of the WASM backend in the thread at hand, for where there are no workers: in service workers. Messages take their
 * turn with other events, so that what else happens there is heard between two steps.
 */
function threadInPlace(): WorkerPort {
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
