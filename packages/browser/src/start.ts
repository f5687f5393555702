/** `load` and `doctor`, in the thread that was asked for. */
import {
  isRemote,
  type DoctorOptions,
  type DoctorReport,
  type Host,
  type LoadOptions,
  type Model,
  type ModelSource,
} from '@llava-sp/core';
import type { Platform } from './platform.ts';
import { baseAddress } from './workers.ts';

/** Where a model's work is done. */
export type Thread = 'worker' | 'page';

/** How a model is loaded in a browser; all optional. */
export interface BrowserLoadOptions extends LoadOptions {
  /**
   * `worker` (the default): in a worker of its own, so that the page never waits. `page`: in the thread that calls. Where there
   * are no workers (service workers), and with a `gpu` of the caller's, which can't leave its thread, it is `page`;
   * `model.info.choices` says why.
   */
  thread?: Thread;
}

export async function startModel(
  _platform: Platform,
  host: Host,
  source: ModelSource,
  options: BrowserLoadOptions,
): Promise<Model> {
  const { loadModel } = await import('./in_page.ts');
  return loadModel(host, absolute(source), options);
}

export async function startDoctor(
  _platform: Platform,
  host: Host,
  options: DoctorOptions,
): Promise<DoctorReport> {
  const { doctor } = await import('./in_page.ts');
  return doctor(host, options);
}

/** What is relative is relative to the page: a worker's own address is another. */
function absolute(source: ModelSource): ModelSource {
  const isPath = typeof source === 'string' && source !== '' && !isRemote(source);
  return isPath ? new URL(source, baseAddress()) : source;
}
