import { realpath } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { ArgumentError, nodeHost, type ModelFiles } from '@llava-sp/node';
import { throwIfAborted } from '@llava-sp/core/formats';
import { calibrate, type Calibration } from './calibrate.ts';
import type { Plan } from './contract.ts';
import { writePlan, type ConvertProgress } from './folder.ts';
import { openPlan } from './plan.ts';
import { checkQuantisation, type Quantisation } from './write/layout.ts';
import type { ConversionReport } from './write/report.ts';

/** What to convert, and how. */
export interface ConvertOptions {
  /** The published folder, or its address: a whole model, or a LoRA folder. */
  readonly checkpoint: string | URL;
  /** The language model that a LoRA folder is trained on. */
  readonly base?: string | URL;
  /** The vision tower, when the checkpoint does not hold it. */
  readonly visionTower?: string | URL;
  /** A new or empty folder, or one where the same conversion was interrupted. */
  readonly out: string;
  /** How each part is stored; what is left out is as in {@link defaultQuantisation}. */
  readonly quantisation?: Partial<Quantisation>;
  /** Codes are chosen by what the products give on these pictures; without it, by the weights alone. */
  readonly calibration?: Calibration;
  /** Threads that quantise; one a core by default, at most 16: more of them wait for the disk, and each takes memory. */
  readonly threads?: number;
  /** Stops the work at once: `AbortedError`. The same call goes on later. */
  readonly signal?: AbortSignal;
  /** Hears how far it is. */
  readonly onProgress?: (progress: ConvertProgress) => void;
}

/**
 * Makes an on-device folder from a published checkpoint. Tensors are streamed: the memory does not grow with the model.
 * Interrupted in any way, the same call goes on behind the last finished shard and gives the same bytes; a calibration is
 * made again.
 *
 * @throws {ArgumentError} `OPTION_INVALID`, `OUTPUT_NOT_EMPTY`.
 * @throws {LoadError} what is wrong with the published files, or `OUTPUT_FAILED` when the folder can't be written.
 * @throws {UnsupportedError} for a model of another family.
 * @throws {AbortedError} as soon as `signal` is aborted.
 */
export async function convert(options: ConvertOptions): Promise<ConversionReport> {
  const { signal } = options;
  const quantisation = checkQuantisation(options.quantisation);
  const threads = checkThreads(options.threads ?? Math.min(16, availableParallelism()));
  const open = (source: string | URL | undefined): Promise<ModelFiles | undefined> =>
    source === undefined ? Promise.resolve(undefined) : nodeHost.openModel(source, signal);
  throwIfAborted(signal);
  const checkpoint = await nodeHost.openModel(options.checkpoint, signal);
  const [base, visionTower] = await Promise.all([open(options.base), open(options.visionTower)]);
  const out = resolve(options.out);
  for (const files of [checkpoint, base, visionTower]) if (files) await checkApart(out, files);
  const plan = await openPlan({ checkpoint, base, visionTower }, signal);
  try {
    const { calibration } = options;
    const moments =
      calibration &&
      (await calibrate(runnable(calibration, plan, options), calibration, { threads, signal }));
    return await writePlan(plan, { ...options, out, quantisation, threads, moments });
  } finally {
    await plan.close();
  }
}

/** @throws {ArgumentError} `OPTION_INVALID` when nothing was passed that runs. */
function runnable({ model }: Calibration, plan: Plan, { checkpoint }: ConvertOptions): string | URL {
  if (model !== undefined) return model;
  if (plan.tokenizer.form === 'ready') return checkpoint;
  throw new ArgumentError({
    code: 'OPTION_INVALID',
    message: 'A published checkpoint does not run by itself: there is nothing to calibrate by.',
    fix: 'Convert it without calibration first, and pass that folder (calibration.model, or --calibrate-with).',
  });
}

/** The folder can't be one that is read. */
async function checkApart(out: string, files: ModelFiles): Promise<void> {
  const real = (path: string): Promise<string> => realpath(path).catch(() => path);
  if ((await real(out)) !== (await real(files.location))) return;
  throw new ArgumentError({
    code: 'OPTION_INVALID',
    message: `${out} is both read and to be written.`,
    fix: 'Choose another folder for the result.',
  });
}

function checkThreads(threads: number): number {
  if (Number.isInteger(threads) && threads >= 1 && threads <= 256) return threads;
  throw new ArgumentError({
    code: 'OPTION_INVALID',
    message: `threads must be a whole number from 1 to 256, not ${threads}.`,
    fix: 'Leave it out for one thread a core.',
  });
}
