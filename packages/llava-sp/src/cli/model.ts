import { SingleBar } from 'cli-progress';
import { modelUrl } from '@llava-sp/demo-model';
import { load, type Device, type LoadProgress, type Model, type Precision } from '@llava-sp/node';
import type { Flags } from '../cli.ts';
import { numberOption } from './usage.ts';

/** Loads the model that the flags ask for, with a progress bar where somebody watches. */
export async function loadFor(flags: Flags, signal: AbortSignal): Promise<Model> {
  const bar = process.stderr.isTTY && !flags.quiet ? progressBar() : null;
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

function progressBar(): SingleBar {
  const format = 'loading [{bar}] {percentage}% {phase}';
  const bar = new SingleBar({
    format,
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    barsize: 30,
  });
  bar.start(100, 0, { phase: 'files' });
  return bar;
}

/** As `download 120 of 4,680 MB, 35.2 MB/s, 2:09 left`. */
function phaseOf({ phase, loaded, total, rate = 0, secondsLeft = null }: LoadProgress): string {
  if (phase !== 'download' || total === 0) return phase;
  const mb = (bytes: number): string => Math.round(bytes / 1e6).toLocaleString('en');
  const seconds = Math.ceil(secondsLeft ?? 0);
  const left = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  const speed = secondsLeft === null ? '' : `, ${(rate / 1e6).toFixed(1)} MB/s, ${left} left`;
  return `${phase} ${mb(loaded)} of ${mb(total)} MB${speed}`;
}

/** Aborted by Ctrl-C; a second one ends the process at once. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  return controller.signal;
}
