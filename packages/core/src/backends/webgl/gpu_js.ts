/** What is used of the library gpu.js, version 2.16. It is an optional peer: nothing of it is imported here. */

export interface GpuJsModule {
  readonly GPU: new (settings: { mode: 'webgl2' }) => GpuJs;
  /** Flat values as an array of this size. */
  input(values: Float32Array, size: readonly number[]): GpuJsInput;
}

export type GpuJsInput = object;

/** `vec4` texels of float32. */
export interface GpuJsTexture {
  /** All values, row by row; waits for the device. */
  renderValues(): Float32Array | null;
  delete(): void;
}

export interface GpuJsSettings {
  /** Width and height in texels. */
  readonly output: readonly [number, number];
  readonly argumentTypes: readonly string[];
  readonly returnType: 'Array(4)';
  readonly precision: 'single';
  readonly tactic: 'precision';
  readonly pipeline: true;
  readonly immutable: true;
}

export type GpuJsArgument = GpuJsInput | GpuJsTexture | number;

export interface GpuJsKernel<Result> {
  (...args: readonly GpuJsArgument[]): Result;
  destroy(): void;
}

export interface GpuJs {
  /** The first kernel's. */
  readonly context: WebGL2RenderingContext;
  addNativeFunction(
    name: string,
    source: string,
    settings: { returnType: string; argumentTypes: Readonly<Record<string, string>> },
  ): void;
  createKernel(source: string, settings: GpuJsSettings): GpuJsKernel<GpuJsTexture>;
  createKernelMap(
    subKernels: Readonly<Record<string, string>>,
    source: string,
    settings: GpuJsSettings,
  ): GpuJsKernel<Readonly<Record<string, GpuJsTexture>>>;
  destroy(): Promise<void>;
}

/** The library in what an `import` gave; `null` when it is something else. */
export function gpuJsOf(imported: unknown): GpuJsModule | null {
  const { default: inner, 'module.exports': commonJs } = (imported ?? {}) as Record<string, unknown>;
  // The script for pages leaves itself where WebGPU has an interface of that name.
  const { GPU: script } = globalThis as unknown as Record<string, unknown>;
  return [imported, inner, commonJs, script].find(isGpuJs) ?? null;
}

function isGpuJs(value: unknown): value is GpuJsModule {
  const { GPU, input } = (value ?? {}) as Partial<GpuJsModule>;
  return typeof GPU === 'function' && typeof input === 'function';
}
