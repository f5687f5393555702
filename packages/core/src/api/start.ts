import type { Backend, BackendReport, Choice, Warning } from '../backend/index.ts';
import { createBackend, type BackendOptions, type Device } from '../backends/index.ts';
import { throwIfAborted } from '../errors/index.ts';
import type { Host, ModelFiles } from '../host.ts';
import { Instance } from '../pipeline/instance.ts';
import { loadWeights, type WeightSummary } from '../pipeline/load_weights.ts';
import { everyProgram } from '../pipeline/programs.ts';
import type { PromptParts } from '../pipeline/prompt.ts';
import { openWeights } from '../weights/store.ts';
import { withContext } from './context.ts';
import type { LoadProgress } from './options.ts';

/** A device with the model in it, and what is to be told of it. */
export interface Started {
  readonly instance: Instance;
  readonly report: BackendReport;
  /** Device first. */
  readonly choices: readonly Choice[];
  readonly warnings: readonly Warning[];
  readonly weights: WeightSummary;
}

/** `fraction` is of the whole load; bytes are of the weights. */
export type ReportProgress = (
  phase: LoadProgress['phase'],
  fraction: number,
  loaded?: number,
  total?: number,
) => void;

/**
 * Starts a backend (as `wrap` returns it), loads the weights from the folder's files, and compiles what a first question needs. Nothing stays
 * behind after an error: threads are stopped, the device is freed and the files are closed.
 */
export async function startDevice(
  host: Host,
  files: ModelFiles,
  parts: PromptParts,
  device: Device,
  options: BackendOptions,
  progress: ReportProgress,
  wrap: (backend: Backend) => Backend,
  signal?: AbortSignal,
): Promise<Started> {
  const { config } = parts;
  const store = await openWeights(files, signal);
  try {
    progress('device', 0.05);
    const { backend: own, refusals, warnings } = await createBackend(host, device, options);
    const backend = wrap(own);
    try {
      const programs = everyProgram(config);
      const { summary: weights, context } = await loadWeights(
        backend,
        store,
        config,
        programs,
        (loaded, total) => progress('weights', 0.1 + (0.8 * loaded) / Math.max(total, 1), loaded, total),
        signal,
      );
      throwIfAborted(signal);
      // The last program is the decoder's: it names every cache.
      const { caches } = programs[programs.length - 1];
      await backend.createCache(caches.map((cache) => ({ ...cache, context })));
      const instance = new Instance(backend, { ...parts, config: withContext(config, context) });
      await instance.warmUp((done, total) => {
        progress('compile', 0.9 + (0.1 * done) / total);
        throwIfAborted(signal);
      });
      throwIfAborted(signal);
      progress('ready', 1);
      const { report } = backend;
      return { instance, report, choices: [...refusals, ...report.choices], warnings, weights };
    } catch (error) {
      // A lost device may refuse this too, and is not the worse for it.
      await backend.dispose().catch(() => undefined);
      throw error;
    }
  } finally {
    await store.close();
  }
}
