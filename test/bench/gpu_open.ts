/** The adapter that the benches run on: the first that Vulkan offers. */
import { arch, cpus, platform } from 'node:os';
import { create } from 'webgpu';
import { openDevice } from '../../packages/core/src/backends/webgpu/device.ts';
import type { Host } from '../../packages/core/src/host.ts';
import { createTestHost } from '../support/host.ts';

/** Dawn crashes when its GPU object is collected while a device lives. */
let pinned: GPU | undefined;

export function openGpu(): GPU {
  // Dawn rounds timestamps to 0.1 ms, more than a whole decode step's kernels take.
  pinned ??= create(['disable-dawn-features=timestamp_quantization']);
  return pinned;
}

export function gpuHost(): Host {
  return createTestHost({ gpu: openGpu() });
}

export interface AdapterFigures {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  /** Names the driver and its version, where the driver tells. */
  readonly description: string;
  /** It computes on the CPU. */
  readonly software: boolean;
  readonly subgroups: readonly [number, number] | null;
  readonly features: readonly string[];
  /** WGSL language features. */
  readonly language: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

export async function adapterFigures(): Promise<AdapterFigures> {
  const gpu = openGpu();
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('there is no WebGPU adapter: no Vulkan driver was found');
  // The very device that the models get.
  const open = await openDevice(gpuHost(), {});
  try {
    const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize } = adapter.info;
    const limits: Record<string, number> = {};
    for (const name in open.device.limits) {
      const value: unknown = open.device.limits[name as keyof GPUSupportedLimits];
      if (typeof value === 'number') limits[name] = value;
    }
    return {
      vendor,
      architecture,
      device,
      description,
      software: open.adapter.software,
      subgroups: adapter.features.has('subgroups') ? [subgroupMinSize, subgroupMaxSize] : null,
      features: [...open.device.features].sort(),
      language: [...open.language].sort(),
      limits,
    };
  } finally {
    open.dispose();
  }
}

export interface MachineFigures {
  readonly system: string;
  readonly processor: string;
  readonly cores: number;
  readonly node: string;
}

export function machineFigures(): MachineFigures {
  const [first] = cpus();
  return {
    system: `${platform()} ${arch()}`,
    processor: first?.model ?? 'unknown',
    cores: cpus().length,
    node: process.version,
  };
}
