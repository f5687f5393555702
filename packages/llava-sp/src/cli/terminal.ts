import { SingleBar } from 'cli-progress';
import type { Flags } from '../cli.ts';

/** A progress bar on stderr, or `null` where nobody watches. `format` is cli-progress's. */
export function openBar(
  flags: Flags,
  format: string,
  total: number,
  payload: Readonly<Record<string, string>>,
): SingleBar | null {
  if (!process.stderr.isTTY || flags.quiet) return null;
  const options = { format, stream: process.stderr, clearOnComplete: true, hideCursor: true, barsize: 30 };
  const bar = new SingleBar(options);
  bar.start(total, 0, payload);
  return bar;
}

/** As `35.2 MB/s, 2:09 left`. */
export function rateAndTime(bytesPerSecond: number, secondsLeft: number): string {
  const seconds = Math.ceil(secondsLeft);
  const left = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  return `${(bytesPerSecond / 1e6).toFixed(1)} MB/s, ${left} left`;
}

/** As `12.5 MB`; below a megabyte `12.5 kB`. */
export function sizeText(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Lines of cells as columns, on stdout. */
export function printTable(lines: readonly (readonly string[])[]): void {
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  for (const line of lines) {
    console.log(
      line
        .map((text, i) => text.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    );
  }
}
