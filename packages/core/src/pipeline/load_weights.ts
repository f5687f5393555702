import type { Backend, StoredDType, StoredWeight } from '../backend/index.ts';
import { LoadError, settleAll } from '../errors/index.ts';
import type { ModelConfig } from '../models/config.ts';
import { visualTokenRange } from '../models/visual.ts';
import type { Program, WeightRef } from '../ops/index.ts';
import { readDequantized } from '../weights/dequantize.ts';
import { describeLayer, type LayerWeight } from '../weights/quantization.ts';
import type { WeightStore } from '../weights/store.ts';
import { isPatchEmbedding, orderPatchEmbedding } from './patch_embedding.ts';

const DTYPES: Readonly<Record<'f32' | 'f16' | 'bf16', StoredDType>> = {
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
};

/** Bytes of the model's weights by format, as stored. */
export type WeightSummary = Readonly<Record<string, number>>;

export interface LoadedWeights {
  readonly summary: WeightSummary;
  /** Positions that the KV cache is to have: fewer than the configuration's context where there is no room. */
  readonly context: number;
}

/**
 * Uploads every weight that the programs name, and no other. All shapes are checked before the first byte is read.
 *
 * @param onBytes called with the bytes uploaded so far and their total.
 * @throws {LoadError} `WEIGHTS_MISSING`, `WEIGHTS_SHAPE`, `WEIGHTS_DTYPE`, `WEIGHTS_NOT_FINITE`; {@link DeviceError}
 *   `OUT_OF_MEMORY`.
 */
export async function loadWeights(
  backend: Backend,
  store: WeightStore,
  config: ModelConfig,
  programs: readonly Program[],
  onBytes: (loaded: number, total: number) => void,
  signal?: AbortSignal,
): Promise<LoadedWeights> {
  const refs = new Map<string, WeightRef>();
  for (const program of programs) for (const ref of program.weights) refs.set(ref.name, ref);
  const weights = [...refs.values()].map((ref) => describe(store, config, ref));
  const total = weights.reduce((sum, { bytes }) => sum + bytes, 0);
  const summary: Record<string, number> = {};
  let loaded = 0;
  onBytes(0, total);
  const all = weights.map(({ stored }) => stored);
  const reserved = await backend.reserve?.(all, programs, leastContext(config));
  let failed = false;
  const left = weights.values();
  const upload = async (): Promise<void> => {
    for (const { stored, bytes } of left) {
      if (failed) return;
      await backend.loadWeight(stored, signal);
      loaded += bytes;
      summary[stored.format] = (summary[stored.format] ?? 0) + bytes;
      onBytes(loaded, total);
    }
  };
  const uploads = Array.from({ length: backend.loadsAtOnce ?? 1 }, () =>
    upload().catch((error: unknown) => {
      failed = true;
      throw error;
    }),
  );
  await settleAll(uploads);
  return { summary, context: reserved?.context ?? config.text.context };
}

/** A conversation on a picture wants so much; below it a backend looks for room elsewhere. */
const CONVERSATION = 2048;
/** Tokens of question and answer that must fit behind the largest picture. */
export const BEHIND_PICTURE = 768;

function leastContext(config: ModelConfig): number {
  return Math.max(CONVERSATION, visualTokenRange(config).most + BEHIND_PICTURE);
}

function describe(
  store: WeightStore,
  config: ModelConfig,
  ref: WeightRef,
): { stored: StoredWeight; bytes: number } {
  if (ref.kind === 'vector') {
    return isQuantizedTable(store, ref) ? describeTable(store, config, ref) : describeVector(store, ref);
  }
  const layer = describeLayer(store, config.quantization, ref.name.replace(/\.weight$/, ''), ref);
  const { affine } = layer;
  const dtype = DTYPES[affine ? affine.dtype : (layer.format as 'f32' | 'f16' | 'bf16')];
  const names = [layer.weight, ...(affine ? [affine.scales, affine.biases] : [])];
  const bytes = names.reduce((sum, name) => sum + store.entry(name).size, 0);
  // bf16 is kept as f16: trained weights fit its range, and what does not is reported as not finite.
  const format = layer.format === 'bf16' ? 'f16' : layer.format;
  const stored: StoredWeight = { ref, format, dtype, group: layer.group, ...readers(store, layer) };
  if (!isPatchEmbedding(ref.name)) return { stored, bytes };
  const { shape } = store.entry(ref.name);
  return { stored: orderPatchEmbedding(stored, shape, config.vision), bytes };
}

function readers(
  store: WeightStore,
  { weight, affine }: LayerWeight,
): Pick<StoredWeight, 'readRows' | 'readScales'> {
  if (!affine) {
    return {
      readRows: async (begin, end, signal) => ({ values: await store.read(weight, begin, end, signal) }),
    };
  }
  const readAffine = (begin: number, end: number, signal?: AbortSignal) =>
    Promise.all([
      store.read(affine.scales, begin, end, signal),
      store.read(affine.biases, begin, end, signal),
    ]);
  return {
    async readRows(begin, end, signal) {
      const [scales, biases] = await readAffine(begin, end, signal);
      return { values: await store.read(weight, begin, end, signal), scales, biases };
    },
    async readScales(begin, end, signal) {
      const [scales, biases] = await readAffine(begin, end, signal);
      const joined = new Uint8Array(scales.length + biases.length);
      joined.set(scales);
      joined.set(biases, scales.length);
      return joined;
    },
  };
}

/** MLX quantises every embedding, the table of positions among them. */
function isQuantizedTable(store: WeightStore, { name }: WeightRef): boolean {
  return name.endsWith('.position_embedding.weight') && store.has(name.replace(/weight$/, 'scales'));
}

function describeTable(
  store: WeightStore,
  config: ModelConfig,
  ref: WeightRef,
): { stored: StoredWeight; bytes: number } {
  const layer = describeLayer(store, config.quantization, ref.name.replace(/\.weight$/, ''));
  if (layer.n * layer.k !== ref.n) throw sizeError(ref, [layer.n, layer.k]);
  const readRows: StoredWeight['readRows'] = async (_begin, _end, signal) => ({
    values: new Uint8Array((await readDequantized(store, layer, signal)).buffer),
  });
  return { stored: { ref, format: 'f32', dtype: 'F32', group: 0, readRows }, bytes: 4 * ref.n };
}

function describeVector(store: WeightStore, ref: WeightRef): { stored: StoredWeight; bytes: number } {
  const entry = store.entry(ref.name);
  const { dtype } = entry;
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
    throw new LoadError({
      code: 'WEIGHTS_DTYPE',
      message: `The tensor ${ref.name} has the type ${dtype}; norms, biases and positions are floating point.`,
      fix: 'Convert the model again, leaving these tensors out of the quantisation.',
    });
  }
  const count = entry.shape.reduce((product, size) => product * size, 1);
  if (count !== ref.n) throw sizeError(ref, entry.shape);
  const readRows: StoredWeight['readRows'] = async (_begin, _end, signal) => ({
    values: await store.read(ref.name, 0, entry.rows, signal),
  });
  return { stored: { ref, format: 'f32', dtype, group: 0, readRows }, bytes: entry.size };
}

function sizeError({ name, n }: WeightRef, shape: readonly number[]): LoadError {
  return new LoadError({
    code: 'WEIGHTS_SHAPE',
    message: `The tensor ${name} has the shape [${shape.join(', ')}]; config.json asks for ${n} values.`,
    fix: 'Check that config.json belongs to these weights.',
  });
}
