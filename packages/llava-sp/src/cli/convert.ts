import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import type {
  CalibrationQuestion,
  ConversionReport,
  Part,
  PartFormat,
  Quantisation,
} from '@llava-sp/convert';
import type { Flags } from '../cli.ts';
import { interruptSignal } from './model.ts';
import { openBar, printTable, rateAndTime, sizeText } from './terminal.ts';
import { EXIT, numberOption, UsageError } from './usage.ts';

/** `llava-sp convert SOURCE --out DIR`: a published checkpoint to an on-device folder. */
export async function runConvert(args: readonly string[], flags: Flags): Promise<number> {
  if (args.length !== 1) throw new UsageError(`convert wants one published folder, not ${args.length}`);
  if (flags.out === undefined) throw new UsageError('convert wants --out DIR, the folder to make');
  const signal = interruptSignal();
  // Other commands need none of it.
  const { convert, parts } = await import('@llava-sp/convert');
  const bar = openBar(flags, 'converting [{bar}] {percentage}% {speed} {tensor}', 1, {
    speed: '',
    tensor: '',
  });
  const questions = flags.calibrate === undefined ? null : await readQuestions(flags.calibrate, flags.images);
  let report: ConversionReport;
  try {
    report = await convert({
      checkpoint: args[0],
      base: flags.base,
      visionTower: flags['vision-tower'],
      out: flags.out,
      quantisation: quantisationOf(parts, flags),
      calibration: questions
        ? {
            questions,
            model: flags['calibrate-with'],
            onProgress: (done, total) =>
              bar?.update(0, { tensor: `calibrating, ${done} of ${total} questions` }),
          }
        : undefined,
      threads: numberOption('threads', flags.threads),
      signal,
      onProgress({ done, total, bytesPerSecond, secondsLeft, tensor }) {
        bar?.setTotal(total);
        bar?.update(done, { speed: rateAndTime(bytesPerSecond, secondsLeft), tensor });
      },
    });
  } finally {
    bar?.stop();
  }
  if (flags.json) console.log(JSON.stringify(report, null, 2));
  else print(report);
  return EXIT.ok;
}

const pictures = new Set(['.png', '.jpg', '.jpeg', '.webp', '.avif']);

/** The pictures of a folder, to be described; or the rows of a file, each with what is asked about its picture. */
export async function readQuestions(path: string, images = dirname(path)): Promise<CalibrationQuestion[]> {
  const found = await stat(path).catch(() => null);
  if (!found) throw new UsageError(`--calibrate: there is no ${path}`);
  if (found.isDirectory()) {
    const names = (await readdir(path)).filter((name) => pictures.has(extname(name).toLowerCase()));
    return names.sort().map((name) => ({ image: join(path, name) }));
  }
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line.trim() !== '');
  return lines.map((line, i) => {
    const { image, text } = parseRow(line, `${path}:${i + 1}`);
    return { image: join(images, image), text };
  });
}

function parseRow(line: string, where: string): { image: string; text: string } {
  let row: unknown = null;
  try {
    row = JSON.parse(line);
  } catch {
    // Said below, as of any other line that is no row.
  }
  const { image, text } = (row ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof image === 'string' && typeof text === 'string') return { image, text };
  throw new UsageError(`--calibrate: ${where} has no "image" and "text"`);
}

/** Values are checked by convert, which names those there are. */
function quantisationOf(parts: readonly Part[], flags: Flags): Partial<Quantisation> {
  const formats = parts.map((part) => [part, flags[part] as PartFormat | undefined]);
  return {
    ...(Object.fromEntries(formats) as Partial<Record<Part, PartFormat>>),
    group: numberOption('group', flags.group) as Quantisation['group'] | undefined,
    tries: numberOption('tries', flags.tries),
  };
}

function print(report: ConversionReport): void {
  const { out, layout, variant, parts, total, odd, leftover, shards, inputBytes, seconds } = report;
  console.log(`${layout}: ${variant}\n`);
  printTable([
    ['part', 'format', 'size', 'bits a weight', 'relative error'],
    ...[...Object.entries(parts), ['all', { format: '', ...total }] as const].map(
      ([part, { format, bytes, bitsPerWeight, error }]) => [
        part,
        format,
        sizeText(bytes),
        bitsPerWeight.toFixed(2),
        error.toExponential(1),
      ],
    ),
  ]);
  if (odd.length > 0) console.log(`\nf16, as no group size divides their rows: ${odd.join(', ')}`);
  if (leftover.length > 0) console.log(`\nnot needed: ${shorten(leftover)}`);
  const rate = `${sizeText(inputBytes)} read in ${seconds.toFixed(1)} s`;
  console.log(`\n${out}: ${shards.length} ${shards.length === 1 ? 'shard' : 'shards'}, ${rate}`);
}

/** Hundreds of names would hide the rest. */
function shorten(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(', ');
  return names.length > 8 ? `${shown} and ${names.length - 8} more (--json lists them)` : shown;
}
