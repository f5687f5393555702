/** Chooses the variants for an adapter. */
import type { Choice } from '../../../backend/index.ts';
import type { Host } from '../../../host.ts';
import type { OpenDevice } from '../device.ts';
import type { WebGpuOptions } from '../index.ts';
import { defaultSelection, type Capabilities } from './rules.ts';
import type { Selection } from './selection.ts';

/** What runs, why, and what the caller should hear about. */
export interface Chosen {
  readonly selection: Selection;
  readonly choices: readonly Choice[];
  readonly warnings: readonly string[];
}

export async function chooseVariants(
  _host: Host,
  open: OpenDevice,
  { precision = 'auto', variants = {}, int8 = false }: WebGpuOptions,
): Promise<Chosen> {
  const capabilities = capabilitiesOf(open);
  const f16 = precision !== 'f32' && capabilities.features.has('shader-f16');
  const base = defaultSelection(capabilities, f16);
  const selection = { ...base, variants: { ...base.variants, ...variants }, int8 };
  return { selection, choices: [], warnings: [] };
}

export function capabilitiesOf({ device, language, adapter }: OpenDevice): Capabilities {
  const features = new Set<string>(device.features);
  return { features, language, limits: device.limits, software: adapter.software };
}
