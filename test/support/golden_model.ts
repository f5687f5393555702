/** Runs a golden model on a backend, stage by stage. */
import type { Backend } from '../../packages/core/src/backend/index.ts';
import type { ModelConfig } from '../../packages/core/src/models/config.ts';
import { visualTokenCount } from '../../packages/core/src/models/visual.ts';
import { loadWeights } from '../../packages/core/src/pipeline/load_weights.ts';
import {
  everyProgram,
  prefixProgram,
  tokensProgram,
  visionInputs,
  visionProgram,
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
}

/** Weights and KV cache of a golden model. */
export async function loadGolden(backend: Backend, { name, config }: GoldenModel): Promise<void> {
  const store = await openWeights(folderFiles(goldenFolder(name)));
  const programs = everyProgram(config);
  await loadWeights(backend, store, config, programs, () => undefined);
  await backend.createCache(programs[programs.length - 1].caches);
  await store.close();
}

/** The vision part, with every stage that the golden folder has: hidden states, spatial features, detail, visual tokens. */
export async function runVision(backend: Backend, { config, stages }: GoldenModel): Promise<Stages> {
  const taps = [...stages.keys()].filter((key) => /^(vision\.hidden|detail)/.test(key));
  const vision = visionProgram(config, new Set([...taps, 'spatial.features', 'visual_tokens']));
  const outputs = await backend.run(await backend.compile(vision), {
    inputs: visionInputs(config, stageOf(stages, 'pixels')),
  });
  return new Map(vision.outputs.map((t, i) => [vision.storages[t.storage].name, outputs[i].slice()]));
}

/** The prefix of the prompt; what follows it and the position there. Wants {@link runVision} before. */
export async function runPrefix(
  backend: Backend,
  { golden, config }: GoldenModel,
): Promise<{ ids: Uint32Array; pos: number }> {
  const before = golden.prompt_ids.indexOf(config.imageToken);
  const ids = Uint32Array.from(golden.prompt_ids.slice(0, before));
  await backend.run(await backend.compile(prefixProgram(config, before)), { inputs: { ids }, pos: 0 });
  return {
    ids: Uint32Array.from(golden.prompt_ids.slice(before + 1)),
    pos: before + visualTokenCount(config),
  };
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
  { config, stages }: GoldenModel,
  got: Stages,
): { what: string; got: Float32Array; want: Float32Array }[] {
  const pairs: { what: string; got: Float32Array; want: Float32Array }[] = [];
  for (const [what, want] of stages) {
    if (/^(vision\.hidden|detail)/.test(what)) pairs.push({ what, got: stageOf(got, what), want });
    const spatial = /^spatial\.(\d+)$/.exec(what);
    if (spatial && config.spatial) {
      const size = config.spatial.features;
      const at = Number(spatial[1]) * size;
      pairs.push({ what, got: stageOf(got, 'spatial.features').subarray(at, at + size), want });
    }
  }
  const last = [...got.keys()].filter((key) => key.startsWith('vision.hidden')).sort(byNumber);
  // Without the class token.
  const features = stageOf(got, last[last.length - 1]).subarray(config.vision.width);
  pairs.push({ what: 'vision.features', got: features, want: stageOf(stages, 'vision.features') });
  const visual = stageOf(got, 'visual_tokens.copy');
  pairs.push({ what: 'visual_tokens', got: visual, want: stageOf(stages, 'visual_tokens') });
  return pairs;
}

function byNumber(a: string, b: string): number {
  return Number(a.split('.').at(-1)) - Number(b.split('.').at(-1));
}

export function argmax(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i] > row[best]) best = i;
  return best;
}
