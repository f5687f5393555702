/** Compiled pipelines by kernel, variant and options. Layouts come from variants.json, as the WGSL does. */
import { DeviceError } from '../../errors/index.ts';
import { COMPUTE } from './constants.ts';
import type { OpenDevice } from './device.ts';
import type { GpuMemory } from './memory.ts';
import { structBytes } from './params.ts';
import { compose, fieldsOf, kernels, RUN_FIELDS, type KernelName, type Options } from './shader.ts';

export interface PipelineKey {
  readonly kernel: KernelName;
  readonly variant: string;
  readonly options: Options;
}

export class Pipelines {
  readonly #open: OpenDevice;
  readonly #memory: GpuMemory;
  readonly #layouts = new Map<KernelName, GPUBindGroupLayout>();
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();

  /** Parameters that are all 0, and operands that nobody reads. */
  #nothing: Promise<{ uniform: GPUBuffer; operands: readonly GPUBuffer[] }> | null = null;

  constructor(open: OpenDevice, memory: GpuMemory) {
    this.#open = open;
    this.#memory = memory;
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
        const pipeline = await this.#open.unlessLost(
          device.createComputePipelineAsync({
            label: shader.name,
            layout,
            compute: { module, entryPoint: 'main' },
          }),
        );
        await this.#warm(key.kernel, pipeline);
        return pipeline;
      } catch (cause) {
        this.#open.assertAlive();
        // The GPU may have no room to try it.
        if (cause instanceof DeviceError) throw cause;
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

  /** One workgroup over nothing: many drivers compile a kernel for good when it runs first, and that must not be an answer. */
  async #warm(kernel: KernelName, pipeline: GPUComputePipeline): Promise<void> {
    this.#nothing ??= this.#makeNothing();
    const { uniform, operands } = await this.#nothing.catch((error: unknown) => {
      this.#nothing = null;
      throw error;
    });
    const { device } = this.#open;
    const { bindings, run } = kernels[kernel];
    const uniforms = run ? [uniform, uniform] : [uniform];
    const buffers = [...uniforms, ...operands.slice(0, bindings.length)];
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = device.createBindGroup({ label: kernel, layout: this.layout(kernel), entries });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(1);
    pass.end();
    device.queue.submit([encoder.finish()]);
    await this.#open.idle();
  }

  async #makeNothing(): Promise<{ uniform: GPUBuffer; operands: readonly GPUBuffer[] }> {
    const most = Math.max(...Object.values(kernels).map(({ params }) => structBytes(params)));
    const uniform = await this.#memory.uniform(Math.max(most, structBytes(RUN_FIELDS)), 'no parameters');
    const count = Math.max(...Object.values(kernels).map(({ bindings }) => bindings.length));
    const operands: GPUBuffer[] = [];
    for (let i = 0; i < count; i++) operands.push(await this.#memory.storage('scratch', 256, 'no operand'));
    return { uniform, operands };
  }
}
