/** Which LLaVA-SP it is, from the names and shapes of its tensors (specification section 8). */
import { LoadError } from '@llava-sp/core';
import type { Located } from './located.ts';
import { spatialRoot } from './names.ts';

/** The Spatial Feature Extractor and Detail Feature Integrator of a checkpoint. */
export interface SpatialFacts {
  readonly type: 'cropping' | 'pooling';
  /** In patches, rising. */
  readonly kernels: readonly number[];
  /** S. */
  readonly features: number;
  readonly transformer: { readonly layers: number; readonly heads: number; readonly mlp: number } | null;
  readonly detail: { readonly kernel: number } | null;
}

/** Not to be seen in any shape: the paper's (specification section 3). */
const transformerHeads = 8;
const detailStride = 2;

const convolution = /^conv_(\d+)\.weight$/;
const transformer = /^transformer_(\d+)\./;

/** Side of the largest map, in patches, which is the grid's own; 0 without spatial modules. */
export function largestMap(located: Located): number {
  return Math.max(0, ...kernelsOf(located, convolution), ...kernelsOf(located, transformer));
}

/**
 * `null` when there is no spatial module at all: plain LLaVA.
 *
 * Cropping or Pooling: a pooled map's convolution follows its pooling layer in a module of two, so that its weight is
 * `conv_k.1.weight`; only the map that is the whole grid needs no pooling. With N = 1 there is that map alone, and the two
 * are the same computation: it is called cropping.
 *
 * @param grid G.
 * @throws {LoadError} `CHECKPOINT_UNKNOWN` when the names fit neither.
 */
export function spatialFacts(located: Located, grid: number): SpatialFacts | null {
  const convolutions = kernelsOf(located, convolution);
  const transformers = kernelsOf(located, transformer);
  const conv = located.get(`${spatialRoot}detail.conv.weight`);
  if (convolutions.length + transformers.length === 0) {
    if (conv) throw unknown('it has a Detail Feature Integrator (conv_CM) without spatial features');
    return null;
  }
  if (convolutions.length > 0 && transformers.length > 0)
    throw unknown(
      `it has convolutions (${convolutions.join(', ')}) and transformers (${transformers.join(', ')})`,
    );
  const kernels = convolutions.length > 0 ? convolutions : transformers;
  const last = kernels[kernels.length - 1];
  if (last !== grid)
    throw unknown(`its largest map has ${last} x ${last} patches, the vision tower's grid ${grid} x ${grid}`);
  const detail = conv ? { kernel: conv.tensor.shape.at(-1) ?? 0 } : null;
  if (transformers.length > 0) {
    const first = `${spatialRoot}transformer_${kernels[0]}.`;
    return { type: 'cropping', kernels, ...transformerOf(located, first), detail };
  }
  const features = located.get(`${spatialRoot}conv_${last}.weight`)?.tensor.shape[0] ?? 0;
  return { type: typeOf(located, kernels), kernels, features, transformer: null, detail };
}

/** On-device `spatial_config`. */
export function spatialConfig(facts: SpatialFacts, grid: number): Record<string, unknown> {
  const { type, kernels, features, transformer, detail } = facts;
  const regular = kernels.every((k, i) => k === Math.floor((grid * (i + 1)) / kernels.length));
  return {
    type,
    num_tokens: kernels.length,
    feature_size: features,
    ...(regular ? {} : { kernel_sizes: kernels }),
    ...(transformer ? { extractor: 'transformer', transformer } : {}),
    ...(detail ? { detail: { kernel_size: detail.kernel, stride: detailStride } } : {}),
  };
}

/** For people: "cropping, N = 6, DFI k = 16". */
export function spatialName(
  facts: Pick<SpatialFacts, 'type' | 'kernels' | 'transformer' | 'detail'> | null,
): string {
  if (!facts) return 'no spatial features';
  const { type, kernels, transformer, detail } = facts;
  const extractor = transformer ? ' by transformers' : '';
  return `${type}${extractor}, N = ${kernels.length}, ${detail ? `DFI k = ${detail.kernel}` : 'no DFI'}`;
}

function typeOf(located: Located, kernels: readonly number[]): SpatialFacts['type'] {
  const smaller = kernels.slice(0, -1);
  const pooled = smaller.filter((k) => located.pooled.has(`${spatialRoot}conv_${k}.weight`));
  if (pooled.length === 0) return 'cropping';
  if (pooled.length === smaller.length) return 'pooling';
  throw unknown(`only the convolutions of ${pooled.join(', ')} follow a pooling layer`);
}

function kernelsOf(located: Located, pattern: RegExp): number[] {
  const kernels = new Set<number>();
  for (const name of located.names()) {
    if (!name.startsWith(spatialRoot)) continue;
    const [, kernel] = pattern.exec(name.slice(spatialRoot.length)) ?? [];
    if (kernel) kernels.add(Number(kernel));
  }
  return [...kernels].sort((a, b) => a - b);
}

function transformerOf(located: Located, root: string): Pick<SpatialFacts, 'features' | 'transformer'> {
  const [mlp, features] = located.get(`${root}encoder.layers.0.linear1.weight`)?.tensor.shape ?? [];
  if (features === undefined) throw unknown('its transformers have no encoder.layers.0.linear1.weight');
  let layers = 0;
  while (located.has(`${root}encoder.layers.${layers}.linear1.weight`)) layers++;
  return { features, transformer: { layers, heads: transformerHeads, mlp } };
}

function unknown(what: string): LoadError {
  return new LoadError({
    code: 'CHECKPOINT_UNKNOWN',
    message: `The checkpoint is no LLaVA-SP that is known: ${what}.`,
    fix: 'Check that all files belong to one model, and that the vision tower is the one it was trained with.',
  });
}
