/** Compiled pipelines by kernel, variant and options. Layouts come from variants.json, as the WGSL does. */
import { DeviceError } from '../../errors/index.ts';
import { COMPUTE } from './constants.ts';
import type { OpenDevice } from './device.ts';
import { compose, fieldsOf, kernels, type KernelName, type Options } from './shader.ts';

export interface PipelineKey {
  readonly kernel: KernelName;
  readonly variant: string;
  readonly options: Options;
}

export class Pipelines {
  readonly #open: OpenDevice;
  readonly #layouts = new Map<KernelName, GPUBindGroupLayout>();
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();

  constructor(open: OpenDevice) {
    this.#open = open;
  }

  layout(kernel: KernelName): GPUBindGroupLayout {
    const known = this.#layouts.get(kernel);
    if (known) return known;
    const { bindings, run } = kernels[kernel];
    const types: GPUBufferBindingType[] = ['uniform'];
    if (run) types.push('uniform');
    for (const binding of bindings) types.push(fieldsOf(binding)[2] ? 'storage' : 'read-only-storage');
    const entries = types.map((type, binding) => ({ binding, visibility: COMPUTE, buffer: { type } }));
    const layout = this.#open.device.createBindGroupLayout({ label: kernel, entries });
    this.#layouts.set(kernel, layout);
    return layout;
  }

  /**
   * Compiles without blocking; what is asked for at the same time compiles in parallel.
   *
   * @throws {DeviceError} `SELF_TEST_FAILED` when the driver refuses the kernel.
   */
  get(key: PipelineKey): Promise<GPUComputePipeline> {
    const shader = compose(key.kernel, key.variant, key.options);
    const known = this.#pipelines.get(shader.name);
    if (known) return known;
    const { device } = this.#open;
    const made = (async () => {
      const module = device.createShaderModule({ label: shader.name, code: shader.code });
      const layout = device.createPipelineLayout({ bindGroupLayouts: [this.layout(key.kernel)] });
      try {
        return await this.#open.unlessLost(
          device.createComputePipelineAsync({
            label: shader.name,
            layout,
            compute: { module, entryPoint: 'main' },
          }),
        );
      } catch (cause) {
        this.#open.assertAlive();
        throw new DeviceError({
          code: 'SELF_TEST_FAILED',
          message: `The GPU's driver refused the kernel ${shader.name}: ${cause instanceof Error ? cause.message : String(cause)}`,
          fix: 'Update the driver or browser, or use device "wasm".',
          cause,
        });
      }
    })();
    this.#pipelines.set(shader.name, made);
    // A refusal is thrown to whoever asked; asked for again, it is tried again.
    made.catch(() => this.#pipelines.delete(shader.name));
    return made;
  }
}
