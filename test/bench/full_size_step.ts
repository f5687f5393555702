/** One step of full_size.ts, in a process of its own: converting, copying the same bytes, or loading and asking. */
import { open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { convert, type ConversionReport } from '@llava-sp/convert';
import { load } from '@llava-sp/node';
import type { Published } from './full_size_published.ts';

export type StepRequest = { readonly cold: boolean } & (
  | { readonly step: 'convert' | 'copy'; readonly published: Published; readonly out: string }
  | { readonly step: 'ask'; readonly folder: string; readonly threads: number }
);

export type Converted = Pick<ConversionReport, 'layout' | 'variant' | 'parts' | 'inputBytes' | 'seconds'> & {
  /** Largest resident memory, in bytes. */
  readonly peak: number;
  readonly outputBytes: number;
};

export interface Copied {
  readonly read: number;
  readonly written: number;
  readonly seconds: number;
}

export interface Answered {
  /** Reading all shards, in pieces of 8 MB. */
  readonly read: { readonly bytes: number; readonly seconds: number };
  readonly load: {
    /** Of the weights, as stored. */
    readonly bytes: number;
    readonly seconds: number;
    readonly weightSeconds: number;
    /** Resident memory before the load, and the largest until its end. */
    readonly start: number;
    readonly peak: number;
    readonly memory: Readonly<Record<'weights' | 'cache' | 'scratch' | 'total', number>>;
  };
  /** Milliseconds. */
  readonly vision: number;
  readonly prefix: number;
  readonly prefill: number;
  readonly imageTokens: number;
  readonly tokens: number;
  readonly tokensPerSecond: number;
  readonly peak: number;
  readonly text: string;
  readonly choices: readonly { readonly what: string; readonly chosen: string; readonly reason: string }[];
}

export type StepResult = Converted | Copied | Answered;

const PIECE = 8 << 20;
const TOKENS = 8;
/** Square, so that it is one tile. */
const picture = new URL('../support/crosses_and_square.png', import.meta.url);

process.once('message', (request: StepRequest) => {
  void run(request)
    .then((result) => process.send?.(result))
    .catch((error: unknown) => {
      console.error(error);
      process.exitCode = 1;
    })
    .finally(() => process.disconnect());
});

async function run(request: StepRequest): Promise<StepResult> {
  if (request.cold) await emptyFileCache();
  switch (request.step) {
    case 'convert':
      return converted(request.published, request.out);
    case 'copy':
      return copied(request.published, request.out);
    case 'ask':
      return answered(request.folder, request.threads, request.cold);
    default:
      return request satisfies never;
  }
}

async function converted(published: Published, out: string): Promise<Converted> {
  let shown = 0;
  const report = await convert({
    ...published,
    out,
    onProgress: ({ done, total, bytesPerSecond, secondsLeft }) => {
      if (performance.now() - shown < 10_000) return;
      shown = performance.now();
      console.log(
        `  ${((100 * done) / total).toFixed(0)} %, ${(bytesPerSecond / 1e6).toFixed(0)} MB/s, ${secondsLeft.toFixed(0)} s left`,
      );
    },
  });
  const { layout, variant, parts, inputBytes, seconds, total } = report;
  return { layout, variant, parts, inputBytes, seconds, outputBytes: total.bytes, peak: peak() };
}

/** Reads every byte of the published files, and writes as many as the on-device folder has, side by side. */
async function copied({ checkpoint, base, visionTower }: Published, out: string): Promise<Copied> {
  const sources = await filesOf(checkpoint, base, visionTower);
  const written = (await filesOf(out)).reduce((sum, { size }) => sum + size, 0);
  const total = sources.reduce((sum, { size }) => sum + size, 0);
  const target = join(out, 'copy.tmp');
  const start = performance.now();
  const file = await open(target, 'w');
  try {
    let read = 0;
    let wrote = 0;
    for (const source of sources) {
      for await (const piece of piecesOf(source.path)) {
        read += piece.length;
        const due = Math.round((written * read) / total) - wrote;
        await file.write(piece, 0, Math.min(due, piece.length));
        wrote += Math.min(due, piece.length);
      }
    }
    return { read, written: wrote, seconds: (performance.now() - start) / 1e3 };
  } finally {
    await file.close();
    await rm(target);
  }
}

async function answered(folder: string, threads: number, cold: boolean): Promise<Answered> {
  const read = await readAll(folder);
  if (cold) await emptyFileCache();
  const start = process.memoryUsage.rss();
  const began = performance.now();
  let first = 0;
  let last = 0;
  let bytes = 0;
  const model = await load(folder, {
    device: 'wasm',
    threads,
    onProgress: ({ phase, total }) => {
      if (phase !== 'weights') return;
      first ||= performance.now();
      last = performance.now();
      bytes = total;
    },
  });
  try {
    const seconds = (performance.now() - began) / 1e3;
    const loaded = {
      bytes,
      seconds,
      weightSeconds: (last - first) / 1e3,
      start,
      peak: peak(),
      memory: await model.memory(),
    };
    const scene = await model.look(fileURLToPath(picture));
    const answer = scene.ask('What is in this picture?', { maxTokens: TOKENS });
    const text = await answer.text();
    const { usage, timings } = answer;
    return {
      read,
      load: loaded,
      vision: scene.timings.vision,
      prefix: scene.timings.prefix,
      prefill: timings.prefill,
      imageTokens: usage.imageTokens,
      tokens: usage.completionTokens,
      tokensPerSecond: timings.tokensPerSecond,
      peak: peak(),
      text,
      choices: model.info.choices,
    };
  } finally {
    await model.dispose();
  }
}

async function readAll(folder: string): Promise<Answered['read']> {
  const start = performance.now();
  let bytes = 0;
  for (const { path } of await filesOf(folder))
    for await (const piece of piecesOf(path)) bytes += piece.length;
  return { bytes, seconds: (performance.now() - start) / 1e3 };
}

async function filesOf(
  ...folders: readonly (string | undefined)[]
): Promise<{ path: string; size: number }[]> {
  const files: { path: string; size: number }[] = [];
  for (const folder of folders) {
    if (folder === undefined) continue;
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isFile()) files.push({ path, size: (await stat(path)).size });
    }
  }
  return files;
}

/** A file in order; the piece is overwritten by the next one. */
async function* piecesOf(path: string): AsyncGenerator<Uint8Array> {
  const piece = new Uint8Array(PIECE);
  const file = await open(path);
  try {
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, PIECE);
      if (bytesRead === 0) return;
      yield piece.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Largest resident memory of this process so far, in bytes. */
function peak(): number {
  return process.resourceUsage().maxRSS * 1024;
}

async function emptyFileCache(): Promise<void> {
  await writeFile('/proc/sys/vm/drop_caches', '3').catch((cause: unknown) => {
    throw new Error('--cold empties the file cache, which only root can on Linux', { cause });
  });
}
