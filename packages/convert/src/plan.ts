import { LoadError, type ModelFiles } from '@llava-sp/core';
import { parseModelConfig } from '@llava-sp/core/formats';
import type { LoraUpdate, Plan, PlanSources } from './contract.ts';
import { loraUpdates, splitAdapter } from './layouts/adapter.ts';
import { assemble } from './layouts/assemble.ts';
import {
  commonConfig,
  isOnDevice,
  preprocessorJson,
  readDescribed,
  textConfig,
  visionConfig,
  type Dialect,
} from './layouts/described.ts';
import { Located } from './layouts/located.ts';
import { translateTower, visionRoot } from './layouts/names.ts';
import { readOnDevice } from './layouts/on_device.ts';
import { spatialConfig, spatialFacts, spatialName, type SpatialFacts } from './layouts/spatial.ts';
import { tokenizerSource } from './layouts/tokenizer.ts';
import { wantedTensors } from './layouts/wanted.ts';
import { isAdapter, openAdapter, openCheckpoint, readJson, type Checkpoint } from './sources/checkpoint.ts';

/**
 * Reads a published checkpoint in any of its layouts, or an on-device folder of floats, into a plan: headers and configurations only, no weights. Which
 * variant it is is told by the names and shapes of its tensors. Close the plan when done.
 *
 * @throws {LoadError} `MODEL_FILE_MISSING` naming the folder or file that is to be passed too; `CHECKPOINT_UNSAFE`,
 *   `CHECKPOINT_INVALID`, `CHECKPOINT_UNKNOWN`, `ADAPTER_INVALID`, `CONFIG_INVALID`, `WEIGHTS_MISSING`, `WEIGHTS_SHAPE`,
 *   `WEIGHTS_DTYPE`, `WEIGHTS_HEADER_INVALID`, `WEIGHTS_INDEX_INVALID`, `FILE_UNREADABLE`.
 * @throws {UnsupportedError} `ARCHITECTURE_UNKNOWN`.
 */
export async function openPlan(sources: PlanSources, signal?: AbortSignal): Promise<Plan> {
  const opened: Checkpoint[] = [];
  const open = async (checkpoint: Promise<Checkpoint>): Promise<Checkpoint> => {
    const one = await checkpoint;
    opened.push(one);
    return one;
  };
  const close = async () => {
    await Promise.all(opened.splice(0).map((one) => one.close()));
  };
  try {
    return { ...(await read(sources, open, signal)), sources: opened.flatMap((one) => one.sources), close };
  } catch (error) {
    await close();
    throw error;
  }
}

type Open = (checkpoint: Promise<Checkpoint>) => Promise<Checkpoint>;

async function read(
  { checkpoint, base, visionTower }: PlanSources,
  open: Open,
  signal?: AbortSignal,
): Promise<Omit<Plan, 'sources' | 'close'>> {
  const folders = base ? [checkpoint, base] : [checkpoint];
  const own = await readJson(checkpoint, 'config.json', signal);
  if (own && isOnDevice(own)) {
    const weights = await open(openCheckpoint(checkpoint, signal));
    return { ...(await readOnDevice(own, weights, signal)), license: await licenseOf(checkpoint, signal) };
  }
  const { located, updates, adapted } = await openWeights(folders, open, signal);
  if (visionTower && !located.hasAny(visionRoot)) {
    const tower = await open(openCheckpoint(visionTower, signal));
    located.add(tower.tensors.values(), translateTower);
  }
  const described = await readDescribed(await firstJson(folders, 'config.json', signal), visionTower, signal);
  const generation = await optionalJson(folders, 'generation_config.json', signal);
  const vision = visionConfig(described, located);
  const text = textConfig(described, located, endsOf(generation));
  const spatial = spatialFacts(located, vision.grid);
  const towers = visionTower ? [visionTower, checkpoint] : folders;
  const published = await optionalJson(towers, 'preprocessor_config.json', signal);
  const common = commonConfig(described, vision, text, published ?? {});
  const preprocessor = preprocessorJson(published, vision);
  const tokenizer = await tokenizerSource(folders, described, text, signal);
  const config: Record<string, unknown> = {
    ...common,
    image_token_index: tokenizer.image.id,
    ...(spatial ? { spatial_config: spatialConfig(spatial, vision.grid) } : {}),
  };
  const wanted = wantedTensors(parseModelConfig(config));
  return {
    layout: layoutName(described.dialect, spatial, adapted),
    variant: spatialName(spatial),
    config,
    preprocessor,
    generation: generation ?? { bos_token_id: text.bos, eos_token_id: text.eos },
    tokenizer,
    ...assemble(wanted, located, updates),
    license: await licenseOf(checkpoint, signal),
  };
}

interface Weights {
  readonly located: Located;
  readonly updates: ReadonlyMap<string, LoraUpdate>;
  readonly adapted: boolean;
}

/** A whole model; or an adapter, what was trained beside it, and the base under both. */
async function openWeights(
  [checkpoint, base]: readonly ModelFiles[],
  open: Open,
  signal?: AbortSignal,
): Promise<Weights> {
  const located = new Located();
  if (!(await isAdapter(checkpoint))) {
    const whole = await open(openCheckpoint(checkpoint, signal));
    located.add(whole.tensors.values());
    return { located, updates: new Map(), adapted: false };
  }
  const adapter = await open(openAdapter(checkpoint, signal));
  if (!base) {
    throw new LoadError({
      code: 'MODEL_FILE_MISSING',
      message: `${checkpoint.location} holds an adapter; the model that it was trained on is needed too.`,
      fix: 'Pass the folder of the base model as well (base, or --base).',
    });
  }
  const { factors, whole } = splitAdapter(adapter.tensors.values());
  located.add(whole);
  const under = await open(openCheckpoint(base, signal));
  located.add(under.tensors.values());
  const described = await readJson(checkpoint, 'adapter_config.json', signal);
  return { located, updates: loraUpdates(described, factors, located), adapted: true };
}

/** The file of the first folder that has it; `null` where none has. */
async function optionalJson(
  folders: readonly ModelFiles[],
  name: string,
  signal?: AbortSignal,
): Promise<Record<string, unknown> | null> {
  for (const folder of folders) {
    const json = await readJson(folder, name, signal);
    if (json) return json;
  }
  return null;
}

async function firstJson(
  folders: readonly ModelFiles[],
  name: string,
  signal?: AbortSignal,
): Promise<Record<string, unknown>> {
  const json = await optionalJson(folders, name, signal);
  if (json) return json;
  throw new LoadError({
    code: 'MODEL_FILE_MISSING',
    message: `There is no ${name} in ${folders.map(({ location }) => location).join(' or ')}.`,
    fix: 'Download the whole folder: the configuration says what the weights are.',
  });
}

function endsOf(generation: Record<string, unknown> | null): number[] {
  const ends = generation?.eos_token_id;
  const list: unknown[] = Array.isArray(ends) ? ends : [ends];
  return list.filter((id): id is number => Number.isSafeInteger(id));
}

const dialects: Record<Dialect, string> = {
  llava: 'LLaVA',
  'llava-hf': "Hugging Face's LLaVA-1.5",
  'llava-next': "Hugging Face's LLaVA-1.6",
  internvl: 'InternVL',
};

function layoutName(dialect: Dialect, spatial: SpatialFacts | null, adapted: boolean): string {
  const family = spatial
    ? dialect === 'llava'
      ? 'LLaVA-SP'
      : `${dialects[dialect]} with LLaVA-SP`
    : dialects[dialect];
  return adapted ? `${family}, LoRA on a base model` : `${family}, whole`;
}

const headBytes = 64 * 1024;

/** The `license` that a model card states in its head. */
async function licenseOf(files: ModelFiles, signal?: AbortSignal): Promise<string | null> {
  if (!(await files.has('README.md'))) return null;
  const source = await files.open('README.md');
  let card: string;
  try {
    card = new TextDecoder().decode(await source.read(0, Math.min(source.size, headBytes), signal));
  } finally {
    await source.close();
  }
  const [, head] = /^---\r?\n([^]*?)\r?\n---/.exec(card) ?? [];
  const [, license] = /^license(?:_name)?:[ \t]*["']?([\w.+ -]{1,100})/m.exec(head ?? '') ?? [];
  return license?.trim() ?? null;
}
