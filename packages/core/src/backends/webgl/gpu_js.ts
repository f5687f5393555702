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

/** One for all models of a realm: a script that was imported once does not run again. */
let loading: Promise<GpuJsModule | null> | null = null;

/**
 * The library, by `open`, which imports it in any form: a bundler's, or the script for pages, which leaves itself in the global
 * `GPU`. WebGPU's interface of that name is given back afterwards. Where there is none the script would define a getter first,
 * and then fail to assign to it in a module: it does not where something is there.
 *
 * @returns `null` when something else was imported. Rejects as `open` does.
 */
export function loadGpuJs(open: () => Promise<unknown>): Promise<GpuJsModule | null> {
  const first = (loading ??= importGpuJs(open));
  const forget = (): void => void (loading = null);
  // What failed may be tried again.
  first.then((module) => module ?? forget(), forget);
  return first;
}

const NAME = 'GPU';

async function importGpuJs(open: () => Promise<unknown>): Promise<GpuJsModule | null> {
  const there: unknown = Reflect.get(globalThis, NAME);
  if (isGpuJs(there)) return there;
  const before = Object.getOwnPropertyDescriptor(globalThis, NAME);
  if (before?.configurable !== false) {
    Object.defineProperty(globalThis, NAME, { value: {}, writable: true, configurable: true });
  }
  try {
    const imported = ((await open()) ?? {}) as Record<string, unknown>;
    const forms = [imported, imported.default, imported['module.exports'], Reflect.get(globalThis, NAME)];
    return forms.find(isGpuJs) ?? null;
  } finally {
    if (before) Object.defineProperty(globalThis, NAME, before);
    else Reflect.deleteProperty(globalThis, NAME);
  }
}

function isGpuJs(value: unknown): value is GpuJsModule {
  const { GPU, input } = (value ?? {}) as Partial<GpuJsModule>;
  return typeof GPU === 'function' && typeof input === 'function';
}
