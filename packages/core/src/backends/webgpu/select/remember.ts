/** What was found on an adapter, kept in the host's settings: the next load neither tests nor measures. */
import { digest } from '../../../backend/digest.ts';
import type { Choice } from '../../../backend/index.ts';
import type { Host } from '../../../host.ts';
import type { OpenDevice } from '../device.ts';
import { manifest, sources } from '../kernels.gen.ts';
import { kernelNames, kernels } from '../shader.ts';
import type { Chosen } from './choose.ts';

/** Drivers are updated, and most say nothing of their version. */
const DAYS = 30;

interface Kept extends Chosen {
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** Names the adapter, what it can do, the arithmetic asked for and the kernels themselves. */
export function settingsKey({ adapter, device, language }: OpenDevice, precision: string): string {
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize } = device.limits;
  const facts = [
    adapter,
    [...device.features].sort(),
    [...language].sort(),
    [maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize],
    precision,
    manifest,
    sources,
  ];
  return `webgpu-kernels-${digest(JSON.stringify(facts))}`;
}

export async function recall(host: Host, key: string): Promise<Chosen | null> {
  const text = await host.settings.get(key);
  if (text === null) return null;
  try {
    const kept: unknown = JSON.parse(text);
    if (!isKept(kept) || Date.now() - kept.at > DAYS * 86_400_000) return null;
    const choices = kept.choices.map((choice: Choice) => ({
      ...choice,
      reason: `${choice.reason} (remembered)`,
    }));
    return { selection: kept.selection, choices, warnings: kept.warnings };
  } catch {
    return null;
  }
}

export async function remember(host: Host, key: string, chosen: Chosen): Promise<void> {
  const kept: Kept = { ...chosen, at: Date.now() };
  await host.settings.set(key, JSON.stringify(kept));
}

/** Whether it is what {@link remember} wrote: the file may be anybody's. */
function isKept(value: unknown): value is Kept {
  const { at, selection, choices, warnings } = (value ?? {}) as Partial<Kept>;
  if (typeof at !== 'number' || !Array.isArray(choices) || !Array.isArray(warnings)) return false;
  if (typeof selection?.gemvRows !== 'number' || typeof selection.int8 !== 'boolean') return false;
  const variants = selection.variants as Partial<Record<string, string>> | undefined;
  return kernelNames.every((kernel) => (variants?.[kernel] ?? '') in kernels[kernel].variants);
}
