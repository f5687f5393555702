/**
 * `npm run bench:convert`: what the converter's quantiser does on one core, in MB/s of bf16 input, and the error of its
 * codes beside that of plain min/max. `--mb N`: size of the input.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { Chunk, Storage } from '../../packages/convert/src/quantise/chunk.ts';
import { momentsSize } from '../../packages/convert/src/quantise/feedback.ts';
import { createKernels } from '../../packages/convert/src/quantise/kernels.ts';
import { Quantiser } from '../../packages/convert/src/quantise/quantiser.ts';
import { columns } from './table.ts';

const { values: options } = parseArgs({ options: { mb: { type: 'string', default: '32' } } });
const cols = 4096;
const rank = 128;
const rows = Math.max(4, Math.round((Number(options.mb) * 1e6) / (2 * cols)));
const rounds = 3;

const wasm = new URL('../../packages/convert/wasm/convert.wasm', import.meta.url);
const quantiser = new Quantiser(await createKernels(new Uint8Array(await readFile(wasm))));

/** Seeded normals of a trained layer's size as bf16; every thousandth is an outlier. */
function weights(count: number, seed: number): Uint8Array {
  const result = new Uint16Array(count);
  const word = new Float32Array(1);
  const bits = new Uint32Array(word.buffer);
  let state = seed;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 1) / 2 ** 32;
  };
  for (let i = 0; i < count; i++) {
    const normal = Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
    word[0] = 0.02 * normal * (i % 1000 === 0 ? 4 : 1);
    result[i] = bits[0] >>> 16;
  }
  return new Uint8Array(result.buffer);
}

const bytes = weights(rows * cols, 1);
const a = { bytes: weights(rank * cols, 2), dtype: 'BF16' } as const;
const b = { bytes: weights(rows * rank, 3), dtype: 'BF16' } as const;

function measure(
  storage: Storage,
  { lora = false, moments = null }: Partial<Pick<Chunk, 'moments'>> & { lora?: boolean } = {},
): { rate: number; seconds: number; error: number } {
  const chunk: Chunk = {
    rows,
    cols,
    cells: 1,
    values: { bytes, dtype: 'BF16' },
    lora: lora ? { rank, scale: 2, a, b, key: 'bench' } : null,
    rowScale: null,
    moments,
    storage,
  };
  let seconds = Infinity;
  let error = 0;
  for (let round = 0; round < rounds; round++) {
    // Of the processor, not of the clock: others may use the machine too.
    const start = process.cpuUsage();
    const stored = quantiser.run(chunk);
    const { user, system } = process.cpuUsage(start);
    seconds = Math.min(seconds, (user + system) / 1e6);
    error = Math.sqrt(stored.error / stored.norm);
  }
  return { rate: bytes.length / 1e6 / seconds, seconds, error };
}

const lines = [['storage', 'ranges', 'MB/s', 'relative error', 'of min/max']];
for (const bits of [4, 8] as const) {
  for (const group of [32, 64, 128]) {
    const plain = measure({ format: 'affine', bits, group, tries: 0 });
    for (const tries of [0, 1, 2, 4, 6]) {
      const { rate, error } = measure({ format: 'affine', bits, group, tries });
      const ratio = `${((100 * error) / plain.error).toFixed(1)} %`;
      lines.push([`q${bits} g${group}`, String(tries), rate.toFixed(0), error.toExponential(3), ratio]);
    }
  }
}
// Inputs of no kind: the time is the same, whatever they are.
const moments = { key: 'bench', values: new Float32Array(momentsSize(cols)).fill(1e-3) };
for (let c = 0; c < cols; c++) moments.values[c * 128 + (c % 128)] = 1;
for (const bits of [4, 8] as const) {
  const { rate, error } = measure({ format: 'affine', bits, group: 64, tries: 2 }, { moments });
  lines.push([`q${bits} g64, calibrated`, '2', rate.toFixed(0), error.toExponential(3), '']);
}
const half = measure({ format: 'f16' });
lines.push(['f16', '', half.rate.toFixed(0), half.error.toExponential(3), '']);
console.log(columns(lines));
const merged = measure({ format: 'f32' }, { lora: true });
const copied = measure({ format: 'f32' });
const gmac = (rows * cols * rank) / 1e9 / (merged.seconds - copied.seconds);
console.log(`LoRA merge of rank ${rank}: ${gmac.toFixed(1)} GMAC/s`);
