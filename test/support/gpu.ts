/** The GPUs that tests run on: drivers that compute on the CPU, so that any machine has them. */
import { existsSync } from 'node:fs';
import { create } from 'webgpu';

/**
 * lavapipe: f16, subgroups of 8, 128 MiB a binding. swiftshader: no f16, subgroups of 4, 1 GiB a binding.
 * null: compiles WGSL and computes nothing.
 */
export type TestGpu = 'lavapipe' | 'swiftshader' | 'null';

/** The driver's manifest, as the Vulkan loader wants it. */
export const DRIVERS: Readonly<Record<Exclude<TestGpu, 'null'>, string>> = {
  lavapipe: '/usr/share/vulkan/icd.d/lvp_icd.json',
  swiftshader: '/usr/lib/chromium/vk_swiftshader_icd.json',
};

/** What a process needs in its environment for a driver to be found. */
export function driverEnv(name: Exclude<TestGpu, 'null'>): Record<string, string> {
  const manifest = DRIVERS[name];
  if (!existsSync(manifest)) throw new Error(`${manifest} is missing: run scripts/install-gpu.sh`);
  return {
    VK_ICD_FILENAMES: manifest,
    XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? '/tmp',
    // lavapipe takes seconds to optimise a kernel that a test runs once.
    GALLIVM_PERF: 'nopt',
  };
}

/** Dawn crashes when a GPU object is collected while its devices live. */
const opened = new Map<TestGpu, GPU>();

/** One GPU object for each driver and process; both drivers may live side by side. Devices are the caller's to destroy. */
export async function openTestGpu(name: TestGpu): Promise<GPU> {
  let gpu = opened.get(name);
  if (!gpu) {
    // Read by the Vulkan loader when Dawn makes its instance.
    if (name !== 'null') Object.assign(process.env, driverEnv(name));
    gpu = create(name === 'null' ? ['backend=null'] : []);
    opened.set(name, gpu);
    const adapter = await gpu.requestAdapter();
    if (!adapter) throw new Error(`no ${name} adapter: run scripts/install-gpu.sh`);
    const { description } = adapter.info;
    const expected = { lavapipe: 'llvmpipe', swiftshader: 'SwiftShader', null: '' }[name];
    if (!description.includes(expected)) throw new Error(`${name} was asked for, ${description} came`);
  }
  return gpu;
}
