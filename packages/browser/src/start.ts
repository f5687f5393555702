/** `load` and `doctor`, in the thread that was asked for. */
import {
  ArgumentError,
  doctorRemote,
  isRemote,
  loadRemote,
  type DoctorOptions,
  type DoctorReport,
  type LoadOptions,
  type Model,
  type ModelSource,
} from '@llava-sp/core';
import { readPixels } from './images.ts';
import { persist } from './origin.ts';
import type { Platform } from './platform.ts';
import { baseAddress, hasWorkers, openWorker } from './workers.ts';

/** Where a model's work is done. */
export type Thread = 'worker' | 'page';

/** What only browsers know. */
export interface ThreadOptions {
  /**
   * `worker` (the default): in a worker of its own, so that the page never waits. `page`: in the thread that calls. Where there
   * are no workers (service workers), and with a `gpu` of the caller's, which can't leave its thread, it is `page`;
   * `model.info.choices` says why.
   */
  thread?: Thread;
}

export interface BrowserLoadOptions extends LoadOptions, ThreadOptions {
  /**
   * For the device `webgl`: the address of gpu.js's script, `gpu-browser.min.js` of its package, which is imported where the
   * model runs. Without it that device can't be had.
   */
  gpuJs?: string | URL;
}

export interface BrowserDoctorOptions extends DoctorOptions, ThreadOptions {}

/** Where the work is done, and why. */
interface Choice {
  readonly thread: Thread;
  readonly reason: string;
}

export async function startModel(
  platform: Platform,
  source: ModelSource,
  options: BrowserLoadOptions,
): Promise<Model> {
  const choice = choose(options);
  const { gpuJs } = options;
  const plain = coreOptions(options);
  const base = baseAddress();
  const task = {
    base,
    gpuJs: gpuJs === undefined ? undefined : new URL(gpuJs, base).href,
    threadReason: choice.reason,
  };
  if (choice.thread === 'page') {
    const { loadHere } = await import('./in_page.ts');
    return loadHere(platform, { ...task, thread: 'page' }, absolute(source, base), plain);
  }
  const worker = openWorker(platform, { role: 'model', ...task });
  return loadRemote(worker, absolute(source, base), persisting(plain), { readPixels, base });
}

export async function startDoctor(platform: Platform, options: BrowserDoctorOptions): Promise<DoctorReport> {
  const { thread, reason: threadReason } = choose(options);
  const plain = coreOptions(options);
  const task = { base: baseAddress(), threadReason };
  if (thread === 'worker') return doctorRemote(openWorker(platform, { role: 'model', ...task }), plain);
  const { doctorHere } = await import('./in_page.ts');
  return doctorHere(platform, { ...task, thread }, plain);
}

/** @throws {ArgumentError} `OPTION_INVALID`. */
function choose({ thread = 'worker', gpu }: ThreadOptions & { gpu?: GPUDevice }): Choice {
  if (thread !== 'worker' && thread !== 'page') {
    throw new ArgumentError({
      code: 'OPTION_INVALID',
      message: `thread is ${JSON.stringify(thread)}; it must be worker or page.`,
      fix: 'Correct thread, or leave it out for a worker.',
    });
  }
  if (thread === 'page') return { thread, reason: 'asked for' };
  if (gpu) return { thread: 'page', reason: "the caller's GPUDevice can't leave its thread" };
  if (!hasWorkers()) return { thread: 'page', reason: 'there are no workers here' };
  return { thread, reason: 'the page does not wait for it' };
}

/** Without what only this package knows. */
function coreOptions<T extends ThreadOptions & { gpuJs?: unknown }>(options: T): Omit<T, 'thread' | 'gpuJs'> {
  const plain = { ...options };
  delete plain.thread;
  delete plain.gpuJs;
  return plain;
}

/** What is relative is relative to the page: a worker's own address is another. */
function absolute(source: ModelSource, base: string): ModelSource {
  const isPath = typeof source === 'string' && source !== '' && !isRemote(source);
  return isPath && URL.canParse(source, base) ? new URL(source, base) : source;
}

/** Workers can't ask the browser to keep what is downloaded: the page does it, once a download begins. */
function persisting(options: LoadOptions): LoadOptions {
  const { onProgress } = options;
  if (onProgress !== undefined && typeof onProgress !== 'function') return options;
  let asked = false;
  return {
    ...options,
    onProgress(progress) {
      if (progress.phase === 'download' && !asked) {
        asked = true;
        void persist().catch(() => false);
      }
      onProgress?.(progress);
    },
  };
}
