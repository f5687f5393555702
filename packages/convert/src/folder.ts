import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { LlavaSpError, LoadError } from '@llava-sp/core';
import { parseModelConfig } from '@llava-sp/core/formats';
import type { Plan } from './contract.ts';
import type { Moments } from './quantise/feedback.ts';
import { createPool } from './quantise/pool.ts';
import { convertTokenizer } from './tokenizer/index.ts';
import { modelCard } from './write/card.ts';
import {
  cutShards,
  describeQuantisation,
  place,
  type Placed,
  type Quantisation,
  type Shard,
} from './write/layout.ts';
import { makeReport, type ConversionReport } from './write/report.ts';
import { inputBytes, writeShards } from './write/shards.ts';
import { checkSpace, openState, removeState, writeWhole } from './write/state.ts';

/** A shard's largest size, in bytes. */
const SHARD_BYTES = 256e6;

/** How far a conversion is. */
export interface ConvertProgress {
  /** Published bytes done, those of an earlier run that is gone on with included. */
  readonly done: number;
  /** Published bytes in all. */
  readonly total: number;
  /** Published bytes a second in this run, over the last seconds. */
  readonly bytesPerSecond: number;
  /** At the rate of the last seconds. */
  readonly secondsLeft: number;
  /** The on-device tensor that was written last. */
  readonly tensor: string;
}

export interface WriteOptions {
  readonly out: string;
  readonly quantisation: Quantisation;
  readonly threads: number;
  /** By on-device tensor: of the inputs that calibration saw; none by default. */
  readonly moments?: ReadonlyMap<string, Moments>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ConvertProgress) => void;
  /** In bytes; for tests, which have no 256 MB to spare. */
  readonly shardBytes?: number;
}

/** Writes the folder that a plan describes. */
export async function writePlan(plan: Plan, options: WriteOptions): Promise<ConversionReport> {
  const { out, quantisation, signal, moments = new Map<string, Moments>() } = options;
  const start = performance.now();
  const placed = plan.tensors.map((tensor) => place(tensor, quantisation));
  const shards = cutShards(placed, options.shardBytes ?? SHARD_BYTES);
  const scheme = describeQuantisation(placed);
  const config = { ...plan.config, ...(scheme ? { quantization: scheme } : {}) };
  const context = parseModelConfig(config).text.context;
  // Before the weights: what can't be converted is said in a second, not after an hour.
  const tokenizer = await convertTokenizer(plan.tokenizer, context, signal);
  const version = await packageVersion();
  const key = await fingerprint(plan, placed, shards, { quantisation, moments, version }, signal);

  return writing(out, async () => {
    const state = await openState(out, key);
    const missing = shards.filter(({ file }) => !state.shards[file]);
    await checkSpace(
      out,
      missing.reduce((sum, { size }) => sum + size, 0),
    );
    const pool = createPool(options.threads, workerEntry());
    const total = placed.reduce((sum, item) => sum + inputBytes(item), 0);
    try {
      const kept = shards.filter(({ file }) => state.shards[file]).flatMap(({ tensors }) => tensors);
      const onBytes = meter(
        kept.reduce((sum, item) => sum + inputBytes(item), 0),
        total,
        options.onProgress,
      );
      await writeShards(shards, { folder: out, state, pool, moments, signal, onBytes });
    } finally {
      await pool.close();
    }
    const report = makeReport(plan, quantisation, placed, shards, state);
    const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
    const small = {
      'config.json': json(config),
      'preprocessor_config.json': json(plan.preprocessor),
      'generation_config.json': json(plan.generation),
      'tokenizer.json': JSON.stringify(tokenizer.tokenizer),
      'tokenizer_config.json': json(tokenizer.config),
    };
    for (const [name, text] of Object.entries(small)) await writeWhole(out, name, text);
    await writeWhole(out, 'README.md', modelCard(plan, report, quantisation, moments.size > 0, version));
    // Last: a folder with an index is complete.
    await writeWhole(out, 'model.safetensors.index.json', json(index(report, shards, small)));
    await removeState(out);
    return { out, ...report, inputBytes: total, seconds: (performance.now() - start) / 1000 };
  });
}

/** The index, with the SHA-256 of every file that a model is loaded from. */
function index(
  report: Pick<ConversionReport, 'shards' | 'total'>,
  shards: readonly Shard[],
  small: Readonly<Record<string, string>>,
): object {
  const names = shards.flatMap(({ file, tensors }) =>
    tensors.flatMap(({ outputs }) => outputs.map(({ name }) => [name, file] as const)),
  );
  const sha256 = Object.fromEntries([
    ...Object.entries(small).map(([name, text]) => [name, createHash('sha256').update(text).digest('hex')]),
    ...report.shards.map((shard) => [shard.file, shard.sha256]),
  ]) as Record<string, string>;
  return { metadata: { total_size: report.total.bytes, sha256 }, weight_map: Object.fromEntries(names) };
}

/** How the shards are made of the plan. */
interface Made {
  readonly quantisation: Quantisation;
  readonly moments: ReadonlyMap<string, Moments>;
  readonly version: string;
}

/** Everything that the shards' bytes depend on: two runs of one key write the same. */
async function fingerprint(
  plan: Plan,
  placed: readonly Placed[],
  shards: readonly Shard[],
  { quantisation, moments, version }: Made,
  signal?: AbortSignal,
): Promise<string> {
  const hash = createHash('sha256');
  hash.update(
    JSON.stringify([version, quantisation, plan.config, plan.sources.map(({ name, size }) => [name, size])]),
  );
  for (const { header } of shards) hash.update(header);
  for (const { key, values } of new Set(moments.values())) {
    hash.update(key).update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  for (const { planned } of placed) {
    const { name, source, rows, lora, rowScale, kernel } = planned;
    const from = [source, lora?.a, lora?.b, rowScale].map((tensor) => tensor && [tensor.name, tensor.dtype]);
    hash.update(JSON.stringify([name, rows, kernel, lora?.scale ?? null, from]));
    // Other weights of the same names and sizes are another model.
    if (source) hash.update(await source.read(rows[0], Math.min(rows[0] + 1, rows[1]), signal));
    if (lora) hash.update(await lora.b.read(0, 1, signal));
  }
  return hash.digest('hex');
}

/** Counts bytes into progress; the rate is that of the last seconds, so that the time left follows what is being done. */
function meter(kept: number, total: number, onProgress: WriteOptions['onProgress']) {
  const window: { at: number; done: number }[] = [{ at: performance.now(), done: kept }];
  let done = kept;
  return (bytes: number, tensor: string): void => {
    done += bytes;
    const at = performance.now();
    window.push({ at, done });
    while (window.length > 2 && at - window[0].at > 10_000) window.shift();
    const seconds = Math.max(1e-3, (at - window[0].at) / 1000);
    const bytesPerSecond = (done - window[0].done) / seconds;
    const secondsLeft = bytesPerSecond > 0 ? (total - done) / bytesPerSecond : 0;
    onProgress?.({ done, total, bytesPerSecond, secondsLeft, tensor });
  };
}

/** Errors of the file system, as a full disk, in the SDK's words. */
async function writing<T>(out: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof LlavaSpError || !(cause instanceof Error && 'syscall' in cause)) throw cause;
    throw new LoadError({
      code: 'OUTPUT_FAILED',
      message: `${out} can't be written: ${cause.message}.`,
      fix: 'Free space or correct the permissions, and run the conversion again: it goes on where it stopped.',
      cause,
    });
  }
}

/** Beside this file, as TypeScript in the repository and as JavaScript in the package. */
function workerEntry(): URL {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new URL(`./worker.${extension}`, import.meta.url);
}

async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
