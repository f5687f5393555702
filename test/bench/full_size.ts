/**
 * `npm run bench:full-size -- --model llava-sp-7b|internvl2-1b-sp`: a published checkpoint of full size with made-up weights
 * is written, converted, loaded on WASM and asked about a picture; every step in a process of its own, whose memory is
 * measured, and beside it what the disk alone takes for the same bytes. The packages must be built (`npm run build`).
 *
 *   --small        narrow and shallow, to see that everything works
 *   --threads N    of the load; 2 by default
 *   --dir DIR      where the folders are made; a new folder of the system's by default. The 7B needs 40 GB
 *   --keep         leaves them there; a published folder that is there is used again
 *   --cold         empties the file cache before each step (Linux, as root)
 *   --json FILE    results; by default in test/bench/results, by date and model
 */
import { fork } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { arch, cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { modelNames, publish, type ModelName, type Published } from './full_size_published.ts';
import type { Answered, Converted, Copied, StepRequest, StepResult } from './full_size_step.ts';
import { columns } from './table.ts';

const GB = 1e9;
const MIB = 2 ** 20;

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    small: { type: 'boolean', default: false },
    threads: { type: 'string', default: '2' },
    dir: { type: 'string' },
    keep: { type: 'boolean', default: false },
    cold: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const model =
  modelNames.find((name) => name === values.model) ?? fail(`--model is one of ${modelNames.join(', ')}`);
const threads = Number(values.threads);
if (!(Number.isInteger(threads) && threads >= 1)) fail('--threads is a whole number above 0');

const dir = values.dir ?? (await mkdtemp(join(tmpdir(), 'llava-sp-full-size-')));
await mkdir(dir, { recursive: true });
try {
  await measure(model, join(dir, 'published'), join(dir, 'on-device'));
} finally {
  if (values.keep) console.log(`kept in ${dir}`);
  else await rm(dir, { recursive: true });
}

async function measure(name: ModelName, source: string, out: string): Promise<void> {
  const began = new Date().toISOString();
  const published = await publishOnce(name, source);
  await rm(out, { recursive: true, force: true });
  // The plain copy first: what it leaves in the file cache helps the conversion, so --cold is the fair way.
  const bytes = await step<Converted>({ step: 'convert', published, out, cold: values.cold });
  const copied = await step<Copied>({ step: 'copy', published, out, cold: values.cold });
  const answered = await step<Answered>({ step: 'ask', folder: out, threads, cold: values.cold });
  const result = {
    model: name,
    small: values.small,
    date: began,
    machine: machine(),
    cold: values.cold,
    convert: bytes,
    copy: copied,
    ask: answered,
  };
  print(result);
  const small = values.small ? '-small' : '';
  const file =
    values.json ??
    join(
      fileURLToPath(new URL('./results/', import.meta.url)),
      `${began.slice(0, 10)}-full-size-${name}${small}.json`,
    );
  await writeFile(file, `${JSON.stringify(result, null, 2)}\n`);
}

/** Writes the checkpoint, unless an earlier run left a whole one. */
async function publishOnce(name: ModelName, source: string): Promise<Published> {
  const done = join(source, 'published.json');
  const there = await readFile(done, 'utf8').catch(() => null);
  if (there !== null) return JSON.parse(there) as Published;
  await rm(source, { recursive: true, force: true });
  console.log('writing the published checkpoint');
  const published = await publish(name, source, values.small);
  await writeFile(done, JSON.stringify(published));
  return published;
}

/** Runs one step in a process of its own. */
function step<T extends StepResult>(request: StepRequest): Promise<T> {
  console.log(request.step);
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('./full_size_step.ts', import.meta.url)));
    let result: T | null = null;
    child.on('message', (message) => {
      result = message as T;
    });
    child.on('error', reject);
    child.on('exit', (code) => {
      if (result) resolve(result);
      else reject(new Error(`${request.step} ended with ${code}`));
    });
    child.send(request);
  });
}

function machine(): Record<string, unknown> {
  const [{ model: cpu }] = cpus();
  return {
    cpu,
    cores: cpus().length,
    arch: arch(),
    memoryGB: Math.round(totalmem() / GB),
    node: process.version,
  };
}

function print(result: { convert: Converted; copy: Copied; ask: Answered }): void {
  const { convert, copy, ask } = result;
  const mb = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`;
  const rate = (bytes: number, seconds: number): string => `${(bytes / 1e6 / seconds).toFixed(0)} MB/s`;
  const { load, read } = ask;
  const lines = [
    ['', 'here', 'the disk alone', 'share'],
    [
      'convert',
      `${convert.seconds.toFixed(1)} s, ${rate(convert.inputBytes, convert.seconds)} of ${(convert.inputBytes / GB).toFixed(2)} GB`,
      `${copy.seconds.toFixed(1)} s, reading them and writing ${(copy.written / GB).toFixed(2)} GB`,
      percent(copy.seconds / convert.seconds),
    ],
    ['  peak memory', mb(convert.peak), '', ''],
    [
      'load, weights',
      `${load.weightSeconds.toFixed(1)} s, ${rate(load.bytes, load.weightSeconds)} of ${(load.bytes / GB).toFixed(2)} GB`,
      rate(read.bytes, read.seconds),
      percent(load.bytes / load.weightSeconds / (read.bytes / read.seconds)),
    ],
    ['load, all of it', `${load.seconds.toFixed(1)} s`, '', ''],
    [
      '  peak memory above the start',
      mb(load.peak - load.start),
      `${mb(load.memory.weights)} of weights`,
      percent((load.peak - load.start) / load.memory.weights),
    ],
    ['vision', `${(ask.vision / 1e3).toFixed(2)} s`, '', ''],
    ['image prefix', `${(ask.prefix / 1e3).toFixed(2)} s, ${ask.imageTokens} tokens`, '', ''],
    ['prefill', `${(ask.prefill / 1e3).toFixed(2)} s`, '', ''],
    ['decode', `${ask.tokens} tokens, ${ask.tokensPerSecond.toFixed(2)} tokens/s`, '', ''],
    ['peak memory at the end', mb(ask.peak), '', ''],
  ];
  console.log(columns(lines));
  for (const { what, chosen, reason } of ask.choices) console.log(`${what}: ${chosen} (${reason})`);
  console.log(`answer: ${JSON.stringify(ask.text)}`);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
