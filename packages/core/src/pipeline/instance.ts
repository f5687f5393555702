import type { Backend, KvSnapshot } from '../backend/index.ts';
import { ArgumentError } from '../errors/index.ts';
import type { ModelConfig } from '../models/config.ts';
import { Executables } from './executables.ts';
import { chunksOf, CHUNK } from './generate.ts';
import type { Picture } from './picture.ts';
import { placeInputs, visionInputs, visualRows } from './programs.ts';
import { promptOf, type PromptParts } from './prompt.ts';

/** An image in the model: what questions on it share. */
export interface Encoded {
  readonly width: number;
  readonly height: number;
  readonly picture: Picture;
  /** The prompt's tokens before the image. */
  readonly before: readonly number[];
  /** Tokens of the KV prefix: those before the image, and the image's. */
  readonly tokens: number;
  /** The DFI's attention map `[N, positions]`, row-major, tile after tile; `null` without a DFI. */
  readonly attention: Float32Array | null;
  /** Milliseconds. */
  readonly timings: { readonly preprocess: number; readonly vision: number; readonly prefix: number };
  released: boolean;
}

/** What encoding an image gave and took; times in milliseconds. */
export interface Seen {
  readonly attention: Float32Array | null;
  readonly vision: number;
  readonly prefix: number;
}

/**
 * One backend with the model in it, and the KV cache that images take turns in: everything that is lost with a device.
 * An image's prefix stays in the cache until another image needs it; then it is set aside, and brought back when the
 * image is asked about again.
 */
export class Instance {
  readonly backend: Backend;
  readonly executables: Executables;
  /** The model's, with the context that this backend has room for. */
  readonly config: ModelConfig;
  /** How many tokens come before the image in a question. */
  readonly #before: number;
  /** Tokens after the image in the shortest question. */
  readonly #shortest: number;
  /** Whose prefix the cache holds. */
  #live: Encoded | null = null;
  /** The tokens behind it in the cache, as far as they are certain. */
  #behind: readonly number[] = [];
  readonly #aside = new Map<Encoded, KvSnapshot>();

  /** @param backend with the weights loaded and the cache created. */
  constructor(backend: Backend, parts: PromptParts) {
    this.backend = backend;
    this.config = parts.config;
    this.executables = new Executables(backend, parts.config);
    const { before, after } = promptOf(parts, '?');
    this.#before = before.length;
    this.#shortest = Math.min(after.length, CHUNK);
  }

  /** Compiles what a first question needs; `onCompiled` gets the programs done and their number. */
  async warmUp(onCompiled: (done: number, total: number) => void): Promise<void> {
    const { executables } = this;
    const config = this.config;
    const picture = config.tiling
      ? [() => executables.place(0), () => executables.visual(this.#before, visualRows(config))]
      : [() => executables.prefix(this.#before)];
    const programs = [
      () => executables.vision(),
      ...picture,
      () => executables.tokens(1),
      // How long the question will be nobody knows; a prefill of another length shares much with this one.
      () => executables.tokens(this.#shortest),
    ];
    for (let i = 0; i < programs.length; i++) {
      onCompiled(i, programs.length);
      await programs[i]();
    }
  }

  /** Puts an image behind `before` into the cache, where it belongs to nobody until {@link keep}. */
  async see(picture: Picture, before: readonly number[], signal?: AbortSignal): Promise<Seen> {
    const { backend, executables } = this;
    const vision = await executables.vision();
    await this.#setAside();
    const start = performance.now();
    const maps: Float32Array[] = [];
    for (const [tile, pixels] of picture.inputs.entries()) {
      const [map] = await backend.run(vision, { inputs: visionInputs(this.config, pixels), signal });
      // Copied: the backend uses the array again.
      if (map) maps.push(map.slice());
      if (!picture.order) continue;
      const place = await executables.place(tile);
      await backend.run(place, { inputs: placeInputs(this.config, tile), signal });
    }
    const seen = performance.now();
    await this.#prefix(picture.order, before, signal);
    return { attention: joined(maps), vision: seen - start, prefix: performance.now() - seen };
  }

  /** The tokens before the image and the image itself, some hundred at a time. */
  async #prefix(order: Uint32Array | null, before: readonly number[], signal?: AbortSignal): Promise<void> {
    const { backend, executables } = this;
    const chunks = chunksOf(Uint32Array.from(before), CHUNK);
    let ids = chunks.pop() ?? new Uint32Array(0);
    let pos = 0;
    for (const chunk of chunks) {
      const program = await executables.tokens(chunk.length);
      await backend.run(program, { inputs: { ids: chunk }, pos, signal });
      pos += chunk.length;
    }
    if (!order) {
      const program = await executables.prefix(ids.length);
      await backend.run(program, { inputs: ids.length > 0 ? { ids } : {}, pos, signal });
      return;
    }
    for (const part of chunksOf(order, visualRows(this.config))) {
      const program = await executables.visual(ids.length, part.length);
      await backend.run(program, {
        inputs: ids.length > 0 ? { ids, order: part } : { order: part },
        pos,
        signal,
      });
      pos += ids.length + part.length;
      ids = ids.subarray(0, 0);
    }
  }

  /** The cache holds this image's prefix. */
  keep(scene: Encoded): void {
    this.#live = scene;
    this.#behind = [];
  }

  /** How many of these tokens the cache holds already, right behind the image in it. */
  common(ids: readonly number[]): number {
    const most = Math.min(ids.length, this.#behind.length);
    let count = 0;
    while (count < most && ids[count] === this.#behind[count]) count++;
    return count;
  }

  /** The cache holds these tokens behind the image in it, and nothing certain behind them. */
  hold(ids: readonly number[]): void {
    this.#behind = ids;
  }

  /**
   * Brings an image's prefix into the cache, encoding the image again if a lost device took it.
   *
   * @throws {ArgumentError} `IMAGE_INVALID` when the scene was let go.
   */
  async bring(scene: Encoded, signal?: AbortSignal): Promise<void> {
    if (this.#live === scene) return;
    const snapshot = this.#aside.get(scene);
    if (snapshot) await this.#setAside();
    // Let go while this question waited.
    if (scene.released) throw forgotten();
    if (snapshot) await this.backend.restoreCache(snapshot);
    else await this.see(scene.picture, scene.before, signal);
    this.keep(scene);
  }

  /** The image will not be asked about any more. */
  release(scene: Encoded): void {
    this.#aside.get(scene)?.release();
    this.#aside.delete(scene);
    if (this.#live === scene) this.#live = null;
  }

  /** Keeps the prefix of the image in the cache, which is about to be overwritten. */
  async #setAside(): Promise<void> {
    const live = this.#live;
    this.#live = null;
    if (!live || live.released || this.#aside.has(live)) return;
    const snapshot = await this.backend.saveCache(live.tokens);
    // Let go while it was saved: nobody else would free it.
    if (live.released) snapshot.release();
    else this.#aside.set(live, snapshot);
  }
}

function joined(parts: readonly Float32Array[]): Float32Array | null {
  if (parts.length === 0) return null;
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

function forgotten(): ArgumentError {
  return new ArgumentError({
    code: 'IMAGE_INVALID',
    message: 'The scene was disposed of.',
    fix: 'Look at the picture again with this model.',
  });
}
