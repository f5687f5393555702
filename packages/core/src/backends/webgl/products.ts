/** Matrix products by gpu.js: x on the device, weights as textures that stay, results read back. */
import { DeviceError, UnsupportedError } from '../../errors/index.ts';
import type { Activation } from '../../ops/index.ts';
import { finishKernel, LIFT, nativeFunctions, PART_FUNCTIONS, PARTS, PRODUCT } from './glsl.ts';
import type { GpuJs, GpuJsKernel, GpuJsModule, GpuJsSettings, GpuJsTexture } from './gpu_js.ts';

/** A matrix `[n, k]` on the device. */
export interface GpuMatrix {
  readonly n: number;
  readonly k: number;
  readonly texture: GpuJsTexture;
  readonly bytes: number;
}

/** `n` values on the device. */
export interface GpuVector {
  readonly texture: GpuJsTexture;
  readonly bytes: number;
}

/** Rows of activations on the device. */
export interface GpuRows {
  readonly rows: number;
  readonly cols: number;
  readonly texture: GpuJsTexture;
}

/** What the backend wants of {@link Products}. */
export type GpuProducts = Pick<
  Products,
  | 'renderer'
  | 'fits'
  | 'matrix'
  | 'vector'
  | 'releaseUploads'
  | 'upload'
  | 'linear'
  | 'read'
  | 'release'
  | 'dispose'
>;

/** Floats of a texel. */
const TEXEL = 4;
/** Rows that one fragment computes. */
const BLOCK = 4;
/** gpu.js lays a texture of one line out as a square: two at least. */
const LINES = 2;
/** Rows of a product are a multiple of this. */
export const ROW_STEP = BLOCK * LINES;

const FLOATS = 4;

type Lift = GpuJsKernel<GpuJsTexture>;
type Product = GpuJsKernel<Readonly<Record<string, GpuJsTexture>>>;

/** Up to a multiple of `step`. */
export function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/**
 * One WebGL2 context and its kernels, one a shape: gpu.js compiles shapes into them. Calls that find the context lost throw
 * {@link DeviceError} `DEVICE_LOST`.
 */
export class Products {
  /** Of a texture's sides, in texels. */
  readonly maxSize: number;
  /** What draws. */
  readonly renderer: string;
  readonly #module: GpuJsModule;
  readonly #gpu: GpuJs;
  readonly #lifts = new Map<string, Lift>();
  readonly #weightLifts = new Map<string, Lift>();
  readonly #products = new Map<string, Product>();
  readonly #finishes = new Map<string, GpuJsKernel<GpuJsTexture>>();
  readonly #zeros = new Map<number, GpuVector>();

  /** @throws {UnsupportedError} `BACKEND_UNAVAILABLE` without WebGL2 or float textures. */
  constructor(module: GpuJsModule, renderer: string) {
    this.#module = module;
    this.renderer = renderer;
    try {
      this.#gpu = new module.GPU({ mode: 'webgl2' });
      for (const { name, source, argumentTypes } of nativeFunctions) {
        this.#gpu.addNativeFunction(name, source, { returnType: 'Array(4)', argumentTypes });
      }
      // The context comes with the first kernel.
      this.#lift(this.#lifts, new Float32Array(TEXEL * LINES), 1, LINES).delete();
      const { context: gl } = this.#gpu;
      this.maxSize = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new UnsupportedError({
        code: 'BACKEND_UNAVAILABLE',
        message: `gpu.js has no WebGL2 with float textures here: ${why}`,
        fix: 'Use device "auto" or "wasm".',
        cause,
      });
    }
  }

  /** Whether textures of this device hold a product's operands and result. */
  fits(rows: number, n: number, k: number): boolean {
    const width = Math.max(n, k) / TEXEL;
    return Math.max(roundUp(rows, ROW_STEP), roundUp(k, TEXEL), Math.ceil(width)) <= this.maxSize;
  }

  /**
   * @param transposed `[roundUp(k, 4), roundUp(n, 4)]`, zeros where there is nothing.
   * @throws {DeviceError} `OUT_OF_MEMORY`.
   */
  matrix(transposed: Float32Array, n: number, k: number): GpuMatrix {
    const [width, height] = [Math.ceil(n / TEXEL), roundUp(k, TEXEL)];
    const texture = this.#guard(() => {
      const lifted = this.#lift(this.#weightLifts, transposed, width, height);
      this.#assertNoError();
      return lifted;
    });
    return { n, k, texture, bytes: transposed.length * FLOATS };
  }

  vector(values: Float32Array): GpuVector {
    const width = Math.ceil(values.length / TEXEL);
    const padded = new Float32Array(width * TEXEL * LINES);
    padded.set(values);
    const texture = this.#guard(() => this.#lift(this.#weightLifts, padded, width, LINES));
    return { texture, bytes: padded.length * FLOATS };
  }

  /** What uploads weights has buffers as large as they are; to be called when all are there. */
  releaseUploads(): void {
    if (this.#weightLifts.size === 0) return;
    for (const kernel of this.#weightLifts.values()) kernel.destroy();
    this.#weightLifts.clear();
    // All kernels draw from the vertices of the one that was built last, which may just have been destroyed.
    this.#guard(() => this.#lift(new Map(), new Float32Array(TEXEL * LINES), 1, LINES).delete());
  }

  /** @param values dense `[rows, cols]`, rows a multiple of {@link ROW_STEP}, cols of 4. */
  upload(values: Float32Array, rows: number, cols: number): GpuRows {
    const texture = this.#guard(() => this.#lift(this.#lifts, values, cols / TEXEL, rows));
    return { rows, cols, texture };
  }

  /** `act(x wT + bias)`, `[x.rows, roundUp(n, 4)]`, on the device. */
  linear(x: GpuRows, w: GpuMatrix, bias: GpuVector | undefined, act: Activation): GpuRows {
    const { rows } = x;
    const [width, texels] = [Math.ceil(w.n / TEXEL), Math.ceil(w.k / TEXEL)];
    const texture = this.#guard(() => {
      const product = kept(this.#products, `${width} ${rows} ${texels}`, () =>
        this.#gpu.createKernelMap(
          PART_FUNCTIONS,
          PRODUCT,
          settings(width, rows / BLOCK, [TEXTURE, TEXTURE, 'Float']),
        ),
      );
      const finish = kept(this.#finishes, `${act} ${width} ${rows}`, () =>
        this.#gpu.createKernel(
          finishKernel(act),
          settings(
            width,
            rows,
            Array.from({ length: 5 }, () => TEXTURE),
          ),
        ),
      );
      const parts = product(x.texture, w.texture, texels);
      const sums = PARTS.map((name) => parts[name]);
      const y = finish(...sums, (bias ?? this.#zero(width)).texture);
      for (const part of sums) part.delete();
      return y;
    });
    return { rows, cols: width * TEXEL, texture };
  }

  /** All values, `[rows, cols]`. The thread waits for the device. @throws {DeviceError} `OUT_OF_MEMORY`, `WORKER_FAILED`. */
  read({ texture }: GpuRows): Float32Array {
    return this.#guard(() => {
      const values = texture.renderValues();
      this.#assertNoError();
      if (!values) throw new Error('a texture was read that is deleted');
      return values;
    });
  }

  release({ texture }: Pick<GpuRows, 'texture'>): void {
    texture.delete();
  }

  async dispose(): Promise<void> {
    await this.#gpu.destroy().catch((error: unknown) => {
      // A lost context has nothing left to free.
      if (!this.#gpu.context.isContextLost()) throw error;
    });
  }

  #zero(width: number): GpuVector {
    return kept(this.#zeros, width, () => this.vector(new Float32Array(width * TEXEL)));
  }

  #lift(lifts: Map<string, Lift>, values: Float32Array, width: number, height: number): GpuJsTexture {
    const lift = kept(lifts, `${width} ${height}`, () =>
      this.#gpu.createKernel(LIFT, settings(width, height, ['Input', 'Float'])),
    );
    return lift(this.#module.input(values, [values.length]), width);
  }

  /** What failed on the device since it was asked last: gpu.js does not look, and goes on with textures of nothing. */
  #assertNoError(): void {
    const { context: gl } = this.#gpu;
    const error = gl.getError();
    if (error === gl.NO_ERROR || error === gl.CONTEXT_LOST_WEBGL) return;
    throw error === gl.OUT_OF_MEMORY
      ? new DeviceError({
          code: 'OUT_OF_MEMORY',
          message: 'The GPU has no memory left for the textures of the model.',
          fix: 'Close what else uses the GPU, or use device "wasm".',
        })
      : new DeviceError({
          code: 'WORKER_FAILED',
          message: `WebGL refused a call: error ${error}.`,
          fix: 'Use device "wasm", and report this message.',
        });
  }

  /** On a lost context gpu.js stumbles over what it did not get, or gives zeros. */
  #guard<T>(work: () => T): T {
    try {
      const result = work();
      if (!this.#gpu.context.isContextLost()) return result;
    } catch (cause) {
      if (!this.#gpu.context.isContextLost()) throw cause;
    }
    throw new DeviceError({
      code: 'DEVICE_LOST',
      message: 'The WebGL context was lost.',
      fix: 'The model starts again by itself; if this message reaches you, load the model again, or use device "wasm".',
    });
  }
}

const TEXTURE = 'ArrayTexture(4)';

function settings(width: number, height: number, argumentTypes: readonly string[]): GpuJsSettings {
  return {
    output: [width, height],
    argumentTypes,
    returnType: 'Array(4)',
    precision: 'single',
    tactic: 'precision',
    pipeline: true,
    immutable: true,
  };
}

function kept<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
