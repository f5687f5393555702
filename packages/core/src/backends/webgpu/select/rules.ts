/** Which variants are tried on an adapter, and which are taken before anything is measured. */
import { kernelNames, kernels, type KernelName, type Variant } from '../shader.ts';
import type { Selection } from './selection.ts';

export interface Capabilities {
  readonly features: ReadonlySet<string>;
  /** WGSL language features. */
  readonly language: ReadonlySet<string>;
  readonly limits: Pick<
    GPUSupportedLimits,
    'maxComputeInvocationsPerWorkgroup' | 'maxComputeWorkgroupSizeX' | 'maxComputeWorkgroupStorageSize'
  >;
  readonly software: boolean;
}

/** Why a variant can't run on an adapter, or nothing. */
export function refusal(variant: Variant, { features, language, limits }: Capabilities): string | undefined {
  const feature = variant.features?.find((name) => !features.has(name));
  if (feature) return `the adapter has no ${feature}`;
  const lacking = variant.language?.find((name) => !language.has(name));
  if (lacking) return `this WGSL has no ${lacking}`;
  const size = Number(variant.set.WG);
  const most = Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX);
  if (size > most) return `workgroups of ${size} are more than the ${most} allowed`;
  return undefined;
}

/** Variants of a kernel that the adapter can run, in the order of variants.json. */
export function candidates(kernel: KernelName, capabilities: Capabilities): string[] {
  return Object.entries(kernels[kernel].variants)
    .filter(([, variant]) => refusal(variant, capabilities) === undefined)
    .map(([name]) => name);
}

/** Variants that are out of the question, by {@link keyOf}, and why. */
export type Refused = ReadonlyMap<string, string>;

export function keyOf(kernel: string, variant: string): string {
  return `${kernel} ${variant}`;
}

/**
 * The choice without measurements: adapters that compute on the CPU pay for barriers, so the barrier-free forms come first
 * there; elsewhere the first variant that the adapter can run. A kernel of which nothing is left has no entry.
 */
export function defaultSelection(
  capabilities: Capabilities,
  f16: boolean,
  refused: Refused = new Map(),
): Selection {
  const variants: Partial<Record<KernelName, string>> = {};
  for (const kernel of kernelNames) {
    const able = candidates(kernel, capabilities).filter(
      (name) => (f16 || !usesHalves(kernel, name)) && !refused.has(keyOf(kernel, name)),
    );
    const free = able.find((name) => barrierFree(kernels[kernel].variants[name]));
    const halves = able.find((name) => usesHalves(kernel, name));
    const name = (capabilities.software ? free : halves) ?? able[0];
    if (name !== undefined) variants[kernel] = name;
  }
  return { variants, gemvRows: 3, int8: false };
}

/** Whether a variant computes in f16. */
export function usesHalves(kernel: KernelName, name: string): boolean {
  return kernels[kernel].variants[name].features?.includes('shader-f16') ?? false;
}

/** Fast where invocations are lanes of a CPU, slow elsewhere. */
export function barrierFree({ set }: Variant): boolean {
  return set.REDUCE === 'none' || set.SHAPE === 'row' || set.ARITH === 'block';
}
