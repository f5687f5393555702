import { modelUrl } from '@llava-sp/demo-model';
import { load, type Device, type LoadProgress, type Model, type Precision } from '@llava-sp/node';
import type { Flags } from '../cli.ts';
import { openBar, rateAndTime } from './terminal.ts';
import { numberOption } from './usage.ts';

/** Loads the model that the flags ask for, with a progress bar where somebody watches. */
export async function loadFor(flags: Flags, signal: AbortSignal): Promise<Model> {
  const bar = openBar(flags, 'loading [{bar}] {percentage}% {phase}', 100, { phase: 'files' });
  try {
    return await load(flags.model ?? modelUrl, {
      // Checked by load, which names those there are.
      device: flags.device as Device | undefined,
      precision: flags.precision as Precision | undefined,
      threads: numberOption('threads', flags.threads),
      signal,
      onProgress: (progress) =>
        bar?.update(Math.round(progress.fraction * 100), { phase: phaseOf(progress) }),
    });
  } finally {
    bar?.stop();
  }
}

/** As `download 120 of 4,680 MB, 35.2 MB/s, 2:09 left`. */
function phaseOf({ phase, loaded, total, rate = 0, secondsLeft = null }: LoadProgress): string {
  if (phase !== 'download' || total === 0) return phase;
  const mb = (bytes: number): string => Math.round(bytes / 1e6).toLocaleString('en');
  const speed = secondsLeft === null ? '' : `, ${rateAndTime(rate, secondsLeft)}`;
  return `${phase} ${mb(loaded)} of ${mb(total)} MB${speed}`;
}

/** Aborted by Ctrl-C; a second one ends the process at once. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  return controller.signal;
}

/** What requests and reports call a model: the last part of where it came from. */
export function nameOf(source: string | undefined): string {
  if (source === undefined) return 'llava-sp-demo';
  if (source.startsWith('hub:')) return source.slice(4);
  return source.split(/[/\\]+/).findLast((part) => part !== '' && part !== '.') ?? 'llava-sp';
}
