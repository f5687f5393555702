import { SingleBar } from 'cli-progress';
import { modelUrl } from '@llava-sp/demo-model';
import { load, type Device, type Model, type Precision } from '@llava-sp/node';
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
      onProgress: ({ fraction, phase }) => bar?.update(Math.round(fraction * 100), { phase }),
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

/** Aborted by Ctrl-C; a second one ends the process at once. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  return controller.signal;
}
