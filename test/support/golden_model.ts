/** Runs a golden model on a backend, stage by stage. */
import type { Backend } from '../../packages/core/src/backend/index.ts';
import type { ModelConfig } from '../../packages/core/src/models/config.ts';
import {
  tileCount,
  visualOrder,
  visualTokenCount,
  type TileGrid,
} from '../../packages/core/src/models/visual.ts';
import { chunksOf } from '../../packages/core/src/pipeline/generate.ts';
import { loadWeights } from '../../packages/core/src/pipeline/load_weights.ts';
import {
  everyProgram,
  placeInputs,
  placeProgram,
  prefixProgram,
  tokensProgram,
  visionInputs,
  visionProgram,
  visualProgram,
} from '../../packages/core/src/pipeline/programs.ts';
import { openWeights } from '../../packages/core/src/weights/store.ts';
import { folderFiles, goldenFolder, type Golden } from './golden.ts';

export type Stages = Map<string, Float32Array>;

export interface GoldenModel {
  readonly name: string;
  readonly golden: Golden;
  readonly config: ModelConfig;
  /** As the golden folder has them. */
  readonly stages: Stages;
  /** Of the weights, where that is not the golden folder of this name. */
  readonly folder?: URL;
  /** How its picture is cut into tiles, where it is: the stages then have the tiles as their first dimension. */
  readonly grid?: TileGrid;
}

/** Weights and KV cache of a golden model. */
export async function loadGolden(backend: Backend, { name, config, folder }: GoldenModel): Promise<void> {
  const store = await openWeights(folderFiles(folder ?? goldenFolder(name)));
  const programs = everyProgram(config);
  await loadWeights(backend, store, config, programs, () => undefined);
  await backend.createCache(programs[programs.length - 1].caches);
  await store.close();
}

/** The vision part, with every stage that the golden folder has: hidden states, spatial features, detail, visual tokens. */
export async function runVision(backend: Backend, { config, stages, grid }: GoldenModel): Promise<Stages> {
  const taps = [...stages.keys()].filter((key) => /^(vision\.hidden|detail)/.test(key));
  const vision = visionProgram(config, new Set([...taps, 'spatial.features', 'visual_tokens']));
  const executable = await backend.compile(vision);
  const pixels = stageOf(stages, 'pixels');
  const size = config.vision.channels * config.vision.imageSize ** 2;
  const parts = new Map<string, Float32Array[]>();
  for (let tile = 0; tile * size < pixels.length; tile++) {
    const input = pixels.subarray(tile * size, (tile + 1) * size);
    const outputs = await backend.run(executable, { inputs: visionInputs(config, input) });
    vision.outputs.forEach((t, i) => {
      const { name } = vision.storages[t.storage];
      parts.set(name, [...(parts.get(name) ?? []), outputs[i].slice()]);
    });
    if (!grid) continue;
    const place = await backend.compile(placeProgram(config, tile));
    await backend.run(place, { inputs: placeInputs(config, tile) });
  }
  return new Map([...parts].map(([name, list]) => [name, joined(list)]));
}

/**
 * The prefix of the prompt; what follows it and the position there. Wants {@link runVision} before. `visual`: the visual
 * tokens in the prompt's order, where they come from several tiles.
 */
export async function runPrefix(
  backend: Backend,
  { golden, config, grid }: GoldenModel,
): Promise<{ ids: Uint32Array; pos: number; visual?: Float32Array }> {
  const before = golden.prompt_ids.indexOf(config.imageToken);
  const ids = Uint32Array.from(golden.prompt_ids.slice(0, before));
  // Hugging Face repeats the image's token for each visual one.
  const after = Uint32Array.from(
    golden.prompt_ids.slice(golden.prompt_ids.lastIndexOf(config.imageToken) + 1),
  );
  if (!grid) {
    await backend.run(await backend.compile(prefixProgram(config, before)), { inputs: { ids }, pos: 0 });
    return { ids: after, pos: before + visualTokenCount(config) };
  }
  const order = visualOrder(config, grid);
  const { width } = config.text;
  const rows: Float32Array[] = [];
  let pos = 0;
  // In two runs, as longer pictures come in many; the first has the text before the picture.
  for (const part of chunksOf(order, Math.ceil(order.length / 2))) {
    const first = pos === 0 ? before : 0;
    const program = visualProgram(config, first, part.length, new Set(['visual.prefix']));
    const inputs: Record<string, Uint32Array> = first > 0 ? { ids, order: part } : { order: part };
    const [prefix] = await backend.run(await backend.compile(program), { inputs, pos });
    rows.push(prefix.slice(first * width));
    pos += first + part.length;
  }
  return { ids: after, pos, visual: joined(rows) };
}

/** Logits of `steps` steps, each given the golden's token before it. Wants {@link runPrefix} before. */
export async function runSteps(
  backend: Backend,
  { golden, config }: GoldenModel,
  after: { ids: Uint32Array; pos: number },
  steps: number,
): Promise<Float32Array[]> {
  const prompt = await backend.compile(tokensProgram(config, after.ids.length));
  const step = await backend.compile(tokensProgram(config, 1));
  let { pos } = after;
  let [logits] = await backend.run(prompt, { inputs: { ids: after.ids }, pos });
  const rows = [logits.slice()];
  pos += after.ids.length;
  for (const token of golden.greedy_tokens.slice(0, steps - 1)) {
    [logits] = await backend.run(step, { inputs: { ids: Uint32Array.of(token) }, pos: pos++ });
    rows.push(logits.slice());
  }
  return rows;
}

export function stageOf(stages: Stages, name: string): Float32Array {
  const found = stages.get(name);
  if (!found) throw new Error(`no stage ${name} among ${[...stages.keys()].join(', ')}`);
  return found;
}

/** What a golden folder holds against what {@link runVision} gave, pair by pair. */
export function visionPairs(
  { config, stages, grid }: GoldenModel,
  got: Stages,
): { what: string; got: Float32Array; want: Float32Array }[] {
  const pairs: { what: string; got: Float32Array; want: Float32Array }[] = [];
  const tiles = grid ? tileCount(grid) : 1;
  for (const [what, want] of stages) {
    if (/^(vision\.hidden|detail)/.test(what)) pairs.push({ what, got: stageOf(got, what), want });
    const spatial = /^spatial\.(\d+)$/.exec(what);
    if (spatial && config.spatial) {
      const { features: size, tokens } = config.spatial;
      const all = stageOf(got, 'spatial.features');
      const rows = Array.from({ length: tiles }, (_, tile) => {
        const at = (tile * tokens + Number(spatial[1])) * size;
        return all.subarray(at, at + size);
      });
      pairs.push({ what, got: joined(rows), want });
    }
  }
  const last = [...got.keys()].filter((key) => key.startsWith('vision.hidden')).sort(byNumber);
  const hidden = stageOf(got, last[last.length - 1]);
  const size = config.vision.grid ** 2 * config.vision.width;
  // Without the class token, where there is one.
  const each = hidden.length / tiles;
  const features = Array.from({ length: tiles }, (_, i) =>
    hidden.subarray((i + 1) * each - size, (i + 1) * each),
  );
  pairs.push({ what: 'vision.features', got: joined(features), want: stageOf(stages, 'vision.features') });
  if (!grid) {
    const visual = stageOf(got, 'visual_tokens.copy');
    pairs.push({ what: 'visual_tokens', got: visual, want: stageOf(stages, 'visual_tokens') });
  }
  return pairs;
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

function byNumber(a: string, b: string): number {
  return Number(a.split('.').at(-1)) - Number(b.split('.').at(-1));
}

export function argmax(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i] > row[best]) best = i;
  return best;
}
