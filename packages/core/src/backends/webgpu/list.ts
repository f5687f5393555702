/** Dispatches made ready for the device: pipelines, parameters, bind groups. Encoding them allocates nothing else. */
import type { BufferRef, Dispatch } from './dispatch.ts';
import type { GpuMemory } from './memory.ts';
import type { OpenDevice } from './device.ts';
import { structBytes, writeStruct } from './params.ts';
import type { Pipelines } from './pipelines.ts';
import { kernels } from './shader.ts';

/** Every uniform starts at a multiple of this in every WebGPU. */
const ALIGN = 256;

export type Resolve = (ref: BufferRef) => GPUBuffer;

export class DispatchList {
  readonly dispatches: readonly Dispatch[];
  readonly #open: OpenDevice;
  readonly #memory: GpuMemory;
  readonly #pipelines: Pipelines;
  readonly #ready: readonly GPUComputePipeline[];
  readonly #params: GPUBuffer;
  readonly #places: readonly { offset: number; size: number }[];
  #bindGroups: GPUBindGroup[] = [];

  private constructor(
    open: OpenDevice,
    memory: GpuMemory,
    pipelines: Pipelines,
    dispatches: readonly Dispatch[],
    ready: readonly GPUComputePipeline[],
    params: GPUBuffer,
    places: readonly { offset: number; size: number }[],
  ) {
    this.#open = open;
    this.#memory = memory;
    this.#pipelines = pipelines;
    this.dispatches = dispatches;
    this.#ready = ready;
    this.#params = params;
    this.#places = places;
  }

  static async make(
    open: OpenDevice,
    memory: GpuMemory,
    pipelines: Pipelines,
    dispatches: readonly Dispatch[],
    label: string,
  ): Promise<DispatchList> {
    const ready = await Promise.all(dispatches.map((dispatch) => pipelines.get(dispatch)));
    let end = 0;
    const places = dispatches.map(({ kernel }) => {
      const size = structBytes(kernels[kernel].params);
      const offset = end;
      end += Math.ceil(size / ALIGN) * ALIGN;
      return { offset, size };
    });
    const bytes = new DataView(new ArrayBuffer(Math.max(end, ALIGN)));
    dispatches.forEach(({ kernel, params }, i) =>
      writeStruct(bytes, places[i].offset, kernels[kernel].params, params),
    );
    const buffer = await memory.uniform(bytes.byteLength, `parameters of ${label}`);
    open.device.queue.writeBuffer(buffer, 0, bytes.buffer);
    return new DispatchList(open, memory, pipelines, dispatches, ready, buffer, places);
  }

  /** Binds the buffers; again whenever one of them was replaced. */
  bind(run: GPUBuffer, resolve: Resolve): void {
    const { device } = this.#open;
    this.#bindGroups = this.dispatches.map(({ kernel, bindings }, i) => {
      const entries: GPUBindGroupEntry[] = [
        { binding: 0, resource: { buffer: this.#params, ...this.#places[i] } },
      ];
      if (kernels[kernel].run) entries.push({ binding: 1, resource: { buffer: run } });
      for (const ref of bindings)
        entries.push({ binding: entries.length, resource: { buffer: resolve(ref) } });
      return device.createBindGroup({ label: kernel, layout: this.#pipelines.layout(kernel), entries });
    });
  }

  /** Records dispatches `[from, to)` of a run at position `pos`. */
  encode(pass: GPUComputePassEncoder, pos: number, from = 0, to = this.dispatches.length): void {
    for (let i = from; i < to; i++) {
      const { groups } = this.dispatches[i];
      const [x, y, z] = typeof groups === 'function' ? groups(pos) : groups;
      pass.setPipeline(this.#ready[i]);
      pass.setBindGroup(0, this.#bindGroups[i]);
      pass.dispatchWorkgroups(x, y, z);
    }
  }

  release(): void {
    this.#memory.free(this.#params);
    this.#bindGroups = [];
  }
}
