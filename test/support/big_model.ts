/** A model folder of any size: a golden one with a wider decoder, whose weights are made up. */
import { cp, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseModelConfig } from '../../packages/core/src/models/config.ts';
import type { WeightRef } from '../../packages/core/src/ops/index.ts';
import { prefixProgram, tokensProgram, visionProgram } from '../../packages/core/src/pipeline/programs.ts';
import { modelPath } from './models.ts';
import { Random } from './random.ts';
import { toF16 } from './weights.ts';

/** Fields of `text_config`. */
export type TextShape = Record<'hidden_size' | 'intermediate_size' | 'num_hidden_layers', number>;

const CHUNK = 1 << 20;

/** Calls `use` with a folder in f16, gone afterwards, and the bytes of its weights. */
export async function withBigModel<T>(
  text: TextShape,
  use: (folder: string, bytes: number) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'llava-sp-big-'));
  try {
    // A model of one file without quantisation but for this folder's own config.
    await cp(modelPath('cropping-q4'), folder, { recursive: true });
    const path = join(folder, 'config.json');
    const json = JSON.parse(await readFile(path, 'utf8')) as { text_config: object; quantization?: object };
    delete json.quantization;
    const config = { ...json, text_config: { ...json.text_config, ...text } };
    await writeFile(path, JSON.stringify(config));
    return await use(folder, await writeWeights(join(folder, 'model.safetensors'), config));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function writeWeights(path: string, json: object): Promise<number> {
  const config = parseModelConfig(json);
  const programs = [visionProgram(config), prefixProgram(config, 1), tokensProgram(config, 1)];
  const refs = new Map(programs.flatMap(({ weights }) => weights.map((ref) => [ref.name, ref])));
  const header: Record<string, object> = {};
  let end = 0;
  for (const ref of refs.values()) {
    const begin = end;
    end += ref.n * ref.k * 2;
    header[ref.name] = { dtype: 'F16', shape: shapeOf(ref), data_offsets: [begin, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new BigUint64Array([BigInt(text.length)]);
  const random = new Random(3);
  const noise = new Uint8Array(
    Uint16Array.from({ length: CHUNK / 2 }, () => toF16(0.06 * (random.uniform() - 0.5))).buffer,
  );
  const file = await open(path, 'w');
  try {
    await file.write(new Uint8Array(length.buffer));
    await file.write(text);
    for (let at = 0; at < end; at += CHUNK) await file.write(noise, 0, Math.min(CHUNK, end - at));
  } finally {
    await file.close();
  }
  return end;
}

function shapeOf({ name, kind, n, k, order, kernel }: WeightRef): number[] {
  if (order === 'oihw') return [n, k / kernel ** 2, kernel, kernel];
  if (kind === 'matrix') return [n, k];
  return name.includes('position_embedding') ? [n / 32, 32] : [n];
}
