import { LoadError } from '@llava-sp/core';
import type { LoraUpdate, PlannedTensor, SourceTensor } from '../contract.ts';
import { asSource, product, type PublishedTensor } from '../sources/tensors.ts';
import type { Located, Location } from './located.ts';
import { languageRoot, spatialRoot, visionRoot } from './names.ts';
import type { Wanted } from './wanted.ts';

export interface Assembled {
  readonly tensors: PlannedTensor[];
  readonly leftover: string[];
}

/** LayerScale, by the projection whose rows it multiplies. */
const layerScales = [
  ['self_attn.out_proj', 'ls1'],
  ['mlp.fc2', 'ls2'],
] as const;

/** How many names a message lists. */
const shown = 12;

/**
 * Every wanted tensor with its source.
 *
 * @throws {LoadError} `WEIGHTS_MISSING` listing what is absent, `WEIGHTS_SHAPE`, `WEIGHTS_DTYPE`; `CHECKPOINT_UNKNOWN` when
 *   a layer in use has more than this model computes.
 */
export function assemble(
  wanted: readonly Wanted[],
  located: Located,
  updates: ReadonlyMap<string, LoraUpdate>,
): Assembled {
  checkMissing(wanted, located);
  const used = new Set<PublishedTensor>();
  const tensors = wanted.map((want) => {
    const location = located.get(want.name);
    const rows = location ? rowsOf(want, location) : ([0, want.shape[0]] as const);
    const source = location ? sourceOf(want, location, used) : null;
    const rowScale = scaleOf(want, located, used);
    const { name, part, kind, shape, kernel } = want;
    return { name, part, kind, shape, kernel, source, rows, lora: updates.get(name) ?? null, rowScale };
  });
  checkUnused(wanted, located);
  return { tensors, leftover: located.leftover(used) };
}

function checkMissing(wanted: readonly Wanted[], located: Located): void {
  const missing = wanted
    .filter(({ name, optional }) => !optional && !located.has(name))
    .map(({ name }) => name);
  if (missing.length === 0) return;
  throw new LoadError({
    code: 'WEIGHTS_MISSING',
    message: `The checkpoint lacks ${missing.length} of the model's ${wanted.length} tensors: ${listOf(missing)}.`,
    fix: 'Pass every folder that the model is published in: the base model and the vision tower, where they are apart.',
  });
}

function rowsOf({ shape }: Wanted, { part: [index] }: Location): readonly [number, number] {
  return [index * shape[0], (index + 1) * shape[0]];
}

function sourceOf(want: Wanted, { tensor, part }: Location, used: Set<PublishedTensor>): SourceTensor {
  const shape = [want.shape[0] * part[1], ...want.shape.slice(1)];
  checkShape(tensor, shape, want.name);
  used.add(tensor);
  return asSource(tensor, shape);
}

function scaleOf({ name, shape }: Wanted, located: Located, used: Set<PublishedTensor>): SourceTensor | null {
  for (const [projection, scale] of layerScales) {
    if (!name.startsWith(visionRoot) || !/\.(?:weight|bias)$/.test(name)) continue;
    const layer = name.replace(/\.(?:weight|bias)$/, '');
    if (!layer.endsWith(`.${projection}`)) continue;
    const location = located.get(`${layer.slice(0, -projection.length)}${scale}`);
    if (!location) return null;
    checkShape(location.tensor, [shape[0]], name);
    used.add(location.tensor);
    return asSource(location.tensor, [shape[0]]);
  }
  return null;
}

/** Leading dimensions of 1 say nothing. */
function checkShape(tensor: PublishedTensor, shape: readonly number[], name: string): void {
  const squeeze = (sizes: readonly number[]) => sizes.slice(sizes.findIndex((size) => size !== 1));
  const [found, wanted] = [squeeze(tensor.shape), squeeze(shape)];
  const fits = found.length === wanted.length && found.every((size, i) => size === wanted[i]);
  if (fits && product(tensor.shape) === product(shape)) return;
  throw new LoadError({
    code: 'WEIGHTS_SHAPE',
    message: `${tensor.file}: "${tensor.name}" must be [${shape.join(', ')}] as ${name}; found [${tensor.shape.join(', ')}].`,
    fix: 'Check that the configuration, the base model and the vision tower belong to this checkpoint.',
  });
}

/** A tensor of a layer in use that is not wanted changes what the layer computes: leaving it out would be a wrong answer. */
function checkUnused(wanted: readonly Wanted[], located: Located): void {
  const names = new Set(wanted.map(({ name }) => name));
  const layers = new Set(wanted.map(({ name }) => layerOf(name)));
  const inUse = (name: string) =>
    name.startsWith(spatialRoot) || (layerOf(name) !== null && layers.has(layerOf(name)));
  const scales = /\.ls[12]$/;
  const surplus = located
    .names()
    .filter((name) => !names.has(name) && !scales.test(name) && !unneeded.test(name))
    .filter(inUse);
  const strange = located
    .unknown()
    .filter((name) => /(?:^|\.)layers\.\d+\./.test(name) && !sideTower.test(name));
  const all = [...surplus, ...strange];
  if (all.length === 0) return;
  throw new LoadError({
    code: 'CHECKPOINT_UNKNOWN',
    message: `The checkpoint has ${all.length} tensors inside layers of the model that no model of this family has: ${listOf(all)}.`,
    fix: 'Use a model of the LLaVA family whose parts are CLIP, SigLIP or InternViT, and LLaMA or Qwen2.',
  });
}

/** With one query, what asks and answers in its self-attention cancels out. */
const unneeded = /\.decoder\.layers\.\d+\.self_attn\.[qk]_proj\.weight$/;
/** The text side of a published CLIP. */
const sideTower = /^text_model\./;

function layerOf(name: string): string | null {
  const roots = [`${languageRoot}model.layers.`, `${visionRoot}encoder.layers.`];
  const root = roots.find((prefix) => name.startsWith(prefix));
  return root ? root + name.slice(root.length).split('.', 1)[0] : null;
}

function listOf(names: readonly string[]): string {
  const rest = names.length - shown;
  return names.slice(0, shown).join(', ').slice(0, 2000) + (rest > 0 ? ` and ${rest} more` : '');
}
