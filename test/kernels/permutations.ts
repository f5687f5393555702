/**
 * Compiles every kernel in every variant with every permitted combination of options, on whatever WebGPU it is given. Runs
 * in Node and, called by its default export, in Deno.
 */
import {
  compose,
  fieldsOf,
  kernelNames,
  kernels,
  permits,
  type KernelName,
  type Options,
  type OptionValue,
} from '../../packages/core/src/backends/webgpu/shader.ts';

/** What was tried of a kernel, and what went wrong: `name: message` of each refusal. */
export interface Outcome {
  compiled: number;
  /** Left out because the device lacks what the variant needs: variant and feature. */
  left: string[];
  errors: string[];
}

const COMPUTE = 4;
/** Compilers have threads; and one at a time is slow for the round trips. */
const AT_ONCE = 16;

/** All combinations of the options that a kernel lists. */
export function combinations(options: Readonly<Record<string, readonly OptionValue[]>>): Options[] {
  return Object.entries(options).reduce<Options[]>(
    (all, [name, values]) => all.flatMap((some) => values.map((value) => ({ ...some, [name]: value }))),
    [{}],
  );
}

/** @returns by kernel. The device needs no limits above the default. */
export async function compileAll(device: GPUDevice): Promise<Record<KernelName, Outcome>> {
  const outcomes = {} as Record<KernelName, Outcome>;
  for (const kernel of kernelNames) {
    const outcome: Outcome = { compiled: 0, left: [], errors: [] };
    const layout = layoutOf(device, kernel);
    const work: { variant: string; options: Options }[] = [];
    for (const [variant, needs] of Object.entries(kernels[kernel].variants)) {
      const lacking = (needs.features ?? []).filter((feature) => !device.features.has(feature));
      if (lacking.length > 0) outcome.left.push(`${variant}: ${lacking.join()}`);
      else {
        const permitted = combinations(kernels[kernel].options).filter((options) => permits(needs, options));
        work.push(...permitted.map((options) => ({ variant, options })));
      }
    }
    while (work.length > 0) {
      const some = work.splice(0, AT_ONCE);
      outcome.compiled += some.length;
      const errors = await Promise.all(
        some.map(({ variant, options }) => compile(device, layout, kernel, variant, options)),
      );
      outcome.errors.push(...errors.filter((error) => error !== null));
    }
    outcomes[kernel] = outcome;
  }
  return outcomes;
}

/** As the backend makes it: from variants.json, not from what the shader happens to use. */
function layoutOf(device: GPUDevice, kernel: KernelName): GPUPipelineLayout {
  const { bindings, run } = kernels[kernel];
  const types: GPUBufferBindingType[] = run ? ['uniform', 'uniform'] : ['uniform'];
  for (const binding of bindings) types.push(fieldsOf(binding)[2] ? 'storage' : 'read-only-storage');
  const entries = types.map((type, binding) => ({ binding, visibility: COMPUTE, buffer: { type } }));
  return device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
}

async function compile(
  device: GPUDevice,
  layout: GPUPipelineLayout,
  kernel: KernelName,
  variant: string,
  options: Options,
): Promise<string | null> {
  let name = `${kernel} ${variant} ${JSON.stringify(options)}`;
  try {
    const shader = compose(kernel, variant, options);
    name = shader.name;
    // A module that can't be parsed is an error of its own, beside that of its pipeline.
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ code: shader.code });
    const scope = device.popErrorScope();
    const [error, { messages }] = await Promise.all([scope, module.getCompilationInfo()]);
    const refusal = messages.find(({ type }) => type === 'error');
    if (refusal) {
      const line = shader.code.split('\n')[refusal.lineNum - 1]?.trim() ?? '';
      return `${name}: ${refusal.message} at "${line}"`;
    }
    if (error) return `${name}: ${error.message}`;
    await device.createComputePipelineAsync({ layout, compute: { module, entryPoint: 'main' } });
    return null;
  } catch (error) {
    return `${name}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** In Deno: on its own WebGPU, with f16 where it has it. */
export default async function compileHere(): Promise<Record<KernelName, Outcome>> {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error('no adapter');
  const device = await openFully(adapter);
  try {
    return await compileAll(device);
  } finally {
    device.destroy();
  }
}

/** A device with the features that any variant asks for, as far as the adapter has them, and the default limits. */
export function openFully(adapter: GPUAdapter): Promise<GPUDevice> {
  const wanted = new Set(
    kernelNames.flatMap((kernel) =>
      Object.values(kernels[kernel].variants).flatMap(({ features }) => features ?? []),
    ),
  );
  const requiredFeatures = [...wanted].filter((feature) => adapter.features.has(feature)) as GPUFeatureName[];
  return adapter.requestDevice({ requiredFeatures });
}
