/**
 * The WebGL2 backend: another backend, whose large matrix products run on the GPU by gpu.js. Which ones is told by their
 * shapes; their weights are on the GPU alone.
 */
import type {
  Backend,
  BackendMemory,
  BackendReport,
  Executable,
  KvSnapshot,
  Reserved,
  RunOptions,
  StoredWeight,
} from '../../backend/index.ts';
import { throwIfAborted } from '../../errors/index.ts';
import type { KvCacheRef, Program } from '../../ops/index.ts';
import { cut, weightsOf, type Linear, type Part } from './cut.ts';
import type { GpuMatrix, GpuVector, GpuProducts } from './products.ts';
import { runStage, type StageDevice } from './stage.ts';
import { readTransposed, readVector } from './weights.ts';

export interface WebGlOptions {
  /** Linears of fewer rows stay where they are; for tests. */
  leastRows?: number;
  /** Linears of smaller weights stay where they are; for tests. */
  leastWeights?: number;
  /** Most multiply-adds of a draw; for tests. */
  drawMacs?: number;
}

/** Below it a product is not worth the way to the GPU and back. */
const LEAST_ROWS = 64;
const LEAST_WEIGHTS = 4096;
/** A slow GPU still answers its window system between draws of so many multiply-adds, and an abort is heard. */
const DRAW_MACS = 1e9;

interface Compiled extends Executable {
  readonly parts: readonly { readonly part: Part; readonly executable: Executable | null }[];
}

export class WebGlBackend implements Backend {
  readonly loadsAtOnce: number;
  readonly #inner: Backend;
  readonly #products: GpuProducts;
  readonly #options: WebGlOptions;
  /** Names of the matrices that live on the GPU. */
  readonly #placed = new Set<string>();
  /** Names of the vectors that only their linears read. */
  readonly #biases = new Set<string>();
  /** Names of what the other backend needs. */
  readonly #needed = new Set<string>();
  readonly #matrices = new Map<string, GpuMatrix>();
  readonly #vectors = new Map<string, GpuVector>();

  /** @param inner what runs everything else; it is disposed of with this. */
  constructor(inner: Backend, products: GpuProducts, options: WebGlOptions = {}) {
    this.loadsAtOnce = inner.loadsAtOnce ?? 1;
    this.#inner = inner;
    this.#products = products;
    this.#options = options;
  }

  get report(): BackendReport {
    const { threads, choices } = this.#inner.report;
    const products = {
      what: 'matrix products on the GPU',
      chosen: `${this.#matrices.size}`,
      reason: `those of ${this.#options.leastRows ?? LEAST_ROWS} rows and more, by ${this.#products.renderer}`,
    };
    return { name: 'webgl', threads, choices: [products, ...choices] };
  }

  async reserve(
    weights: readonly StoredWeight[],
    programs: readonly Program[],
    leastContext?: number,
  ): Promise<Reserved> {
    this.#place(programs);
    const parts = programs.flatMap((program) => this.#cut(program)).flatMap(({ program }) => program ?? []);
    for (const { commands } of parts) {
      for (const { name } of commands.flatMap(weightsOf)) this.#needed.add(name);
    }
    const others = weights.filter(({ ref }) => this.#needed.has(ref.name));
    return (await this.#inner.reserve?.(others, parts, leastContext)) ?? { context: null };
  }

  /** A weight goes to the GPU when every linear on it is worth it. */
  #place(programs: readonly Program[]): void {
    const linears = new Map<string, Linear[]>();
    const elsewhere = new Set<string>();
    for (const command of programs.flatMap(({ commands }) => commands)) {
      if (command.op === 'linear') {
        const { name } = command.w;
        linears.set(name, [...(linears.get(name) ?? []), command]);
      } else {
        for (const { name } of weightsOf(command)) elsewhere.add(name);
      }
    }
    for (const [name, uses] of linears) {
      if (elsewhere.has(name) || !uses.every((linear) => this.#worthIt(linear))) continue;
      this.#placed.add(name);
      for (const { bias } of uses) if (bias) this.#biases.add(bias.name);
    }
  }

  #worthIt({ x, w }: Linear): boolean {
    const { leastRows = LEAST_ROWS, leastWeights = LEAST_WEIGHTS } = this.#options;
    return x.rows >= leastRows && w.n * w.k >= leastWeights && this.#products.fits(x.rows, w.n, w.k);
  }

  #cut(program: Program): readonly Part[] {
    return cut(program, ({ w }) => this.#placed.has(w.name));
  }

  async loadWeight(weight: StoredWeight, signal?: AbortSignal): Promise<void> {
    const { name, n, k, kind } = weight.ref;
    if (this.#placed.has(name)) {
      const values = await readTransposed(weight, signal);
      this.#matrices.set(name, this.#products.matrix(values, n, k));
    } else if (kind === 'vector' && this.#biases.has(name)) {
      this.#vectors.set(name, this.#products.vector(await readVector(weight, signal)));
    }
    const known = this.#placed.has(name) || this.#biases.has(name);
    if (!known || this.#needed.has(name)) await this.#inner.loadWeight(weight, signal);
  }

  async createCache(caches: readonly KvCacheRef[]): Promise<void> {
    await this.#inner.createCache(caches);
  }

  async compile(program: Program): Promise<Executable> {
    this.#products.releaseUploads();
    const parts = await Promise.all(
      this.#cut(program).map(async (part) => ({
        part,
        executable: part.program && (await this.#inner.compile(part.program)),
      })),
    );
    const release = (): void => {
      for (const { executable } of parts) executable?.release();
    };
    const compiled: Compiled = { program, parts, release };
    return compiled;
  }

  async run(compiled: Executable, options: RunOptions): Promise<readonly Float32Array[]> {
    const { parts } = compiled as Compiled;
    let inputs = { ...options.inputs };
    let outputs: readonly Float32Array[] = [];
    for (const { part, executable } of parts) {
      throwIfAborted(options.signal);
      outputs = executable ? await this.#inner.run(executable, { ...options, inputs }) : [];
      if (!part.stage) continue;
      const given = new Map(part.given.map(({ name }, i) => [name, outputs[i]]));
      const taken = await runStage(this.#device, part.stage, given, options.signal);
      inputs = { ...options.inputs, ...Object.fromEntries(taken) };
    }
    return outputs;
  }

  get #device(): StageDevice {
    return {
      products: this.#products,
      matrix: (name) => found(this.#matrices, name),
      vector: (name) => found(this.#vectors, name),
      drawMacs: this.#options.drawMacs ?? DRAW_MACS,
    };
  }

  saveCache(tokens: number): Promise<KvSnapshot> {
    return this.#inner.saveCache(tokens);
  }

  restoreCache(snapshot: KvSnapshot): Promise<void> {
    return this.#inner.restoreCache(snapshot);
  }

  async memory(): Promise<BackendMemory> {
    const inner = await this.#inner.memory();
    const textures = [...this.#matrices.values(), ...this.#vectors.values()];
    const bytes = textures.reduce((sum, texture) => sum + texture.bytes, 0);
    return { ...inner, weights: inner.weights + bytes, total: inner.total + bytes };
  }

  async dispose(): Promise<void> {
    await Promise.all([this.#products.dispose(), this.#inner.dispose()]);
  }
}

function found<T>(map: ReadonlyMap<string, T>, name: string): T {
  const value = map.get(name);
  if (value === undefined) throw new Error(`the weight ${name} is not loaded`);
  return value;
}
