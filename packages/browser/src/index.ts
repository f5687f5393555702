/**
 * LLaVA-SP in browsers.
 *
 * @module @llava-sp/browser
 */
import {
  createCache,
  type DoctorReport,
  type Model,
  type ModelCache,
  type ModelSource,
} from '@llava-sp/core';
import { readAsset } from './assets.ts';
import { createHost, type BrowserHost } from './host.ts';
import type { Platform } from './platform.ts';
import { startDoctor, startModel, type BrowserDoctorOptions, type BrowserLoadOptions } from './start.ts';
import { baseAddress } from './workers.ts';

export * from './exports.ts';

const platform: Platform = {
  readAsset,
  // In these very words: bundlers find the file by them.
  startWorker: () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' }),
};

/** A browser as core sees it, in the thread at hand. */
export const browserHost: BrowserHost = createHost(platform, { base: baseAddress() });

/**
 * Loads a model and makes it ready to answer: from an address (relative to the page, or http(s)), a hub
 * (`hub:owner/name@revision`), files of a dialog or a drop, or the addresses of its files by name. What is downloaded is kept in
 * {@link cache}, and taken from there without the network the next time; where nothing can be kept, the model is loaded all
 * the same, and a warning says so.
 *
 * @throws LoadError when a file is missing, damaged or can't be downloaded, UnsupportedError for an unknown architecture or a
 *   device that is not there, ArgumentError for a wrong option, AbortedError when `signal` is aborted.
 */
export function load(source: ModelSource, options: BrowserLoadOptions = {}): Promise<Model> {
  return startModel(platform, source, options);
}

/**
 * Examines what this browser computes with: every WebGPU kernel against float64, the WASM builds, and what the device `auto`
 * would be. Loads no model; takes up to a minute where the GPU is the CPU.
 *
 * @throws AbortedError when `signal` is aborted; all else is in the report.
 */
export function doctor(options: BrowserDoctorOptions = {}): Promise<DoctorReport> {
  return startDoctor(platform, options);
}

/** The models that pages of this origin have downloaded. */
export const cache: ModelCache = createCache(browserHost.store);
