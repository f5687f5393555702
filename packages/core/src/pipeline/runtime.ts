import type { Backend, BackendMemory, KvSnapshot } from '../backend/index.ts';
import { ArgumentError, LoadError, throwIfAborted } from '../errors/index.ts';
import type { Geometry } from '../image/boxes.ts';
import { preprocess, type PreprocessorConfig } from '../image/preprocess.ts';
import type { Pixels } from '../image/pixels.ts';
import type { ModelConfig } from '../models/config.ts';
import { visualTokenCount } from '../models/registry.ts';
import type { PromptTokens } from '../text/chat.ts';
import { Executables } from './executables.ts';
import {
  generate,
  prepare,
  type FinishReason,
  type GenerateOptions,
  type Progress,
  type Question,
} from './generate.ts';
import { promptOf, type PromptParts } from './prompt.ts';
import { Queue } from './queue.ts';

/** An image in the model: what questions on it share. */
export interface Encoded {
  readonly width: number;
  readonly height: number;
  readonly geometry: Geometry;
  /** Tokens of the KV prefix: those before the image, and the image's. */
  readonly tokens: number;
  /** The DFI's attention map `[N, positions]`, row-major; `null` without a DFI. */
  readonly attention: Float32Array | null;
  /** Milliseconds. */
  readonly timings: { readonly preprocess: number; readonly vision: number; readonly prefix: number };
  /** The prefix, set aside when another image took the cache. */
  snapshot: KvSnapshot | null;
  released: boolean;
}

/** The parts of a loaded model. */
export interface RuntimeParts extends PromptParts {
  readonly backend: Backend;
  readonly preprocessor: PreprocessorConfig;
}

/**
 * One model on one backend: a queue of work, and the KV cache that its images take turns in. An image's prefix stays in
 * the cache until another image needs it; then it is set aside, and brought back when it is asked about again.
 */
export class Runtime {
  readonly config: ModelConfig;
  readonly #parts: RuntimeParts;
  readonly #executables: Executables;
  readonly #queue = new Queue();
  /** Whose prefix the cache holds. */
  #live: Encoded | null = null;

  constructor(parts: RuntimeParts) {
    this.#parts = parts;
    this.config = parts.config;
    this.#executables = new Executables(parts.backend, parts.config);
  }

  /** Compiles what every question needs. */
  async warmUp(): Promise<void> {
    await this.#executables.vision();
    await this.#executables.prefix(this.#prompt('?').before.length);
    await this.#executables.tokens(1);
  }

  /** Checks a question on a picture, before any work is done; see `promptOf` and `prepare` for what it throws. */
  question(text: string, options: GenerateOptions): Question {
    return prepare(this.config, this.#prompt(text), options);
  }

  /** Runs one job when the earlier ones are done. */
  enqueue<T>(job: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#queue.run(job, signal);
  }

  /** Encodes an image and leaves its prefix in the cache. To be called from a job. */
  async encode(image: Pixels, signal?: AbortSignal): Promise<Encoded> {
    const { backend, config, preprocessor } = this.#parts;
    const start = performance.now();
    const { pixels, geometry } = pixelsOf(config, preprocessor, image);
    const preprocessed = performance.now();
    const vision = await this.#executables.vision();
    await this.#setAside();
    const [attention] = await backend.run(vision, { inputs: { pixels }, signal });
    const seen = performance.now();

    const { before } = this.#prompt('?');
    const prefix = await this.#executables.prefix(before.length);
    await backend.run(prefix, { inputs: { ids: Uint32Array.from(before) }, pos: 0, signal });
    const encoded: Encoded = {
      width: image.width,
      height: image.height,
      geometry,
      tokens: before.length + visualTokenCount(config),
      // Copied: the backend uses the array again.
      attention: attention?.slice() ?? null,
      timings: {
        preprocess: preprocessed - start,
        vision: seen - preprocessed,
        prefix: performance.now() - seen,
      },
      snapshot: null,
      released: false,
    };
    this.#live = encoded;
    return encoded;
  }

  /** Answers about an encoded image. To be called from a job. */
  async answer(
    scene: Encoded,
    question: Question,
    progress: Progress,
    emit: (text: string) => void,
    signal?: AbortSignal,
  ): Promise<FinishReason> {
    const { backend, config, tokenizer } = this.#parts;
    throwIfAborted(signal);
    if (this.#live !== scene) {
      await this.#setAside();
      // Let go while this question waited.
      if (!scene.snapshot) throw forgotten();
      await backend.restoreCache(scene.snapshot);
      this.#live = scene;
    }
    return generate(
      backend,
      this.#executables,
      config,
      tokenizer,
      scene.tokens,
      question,
      progress,
      emit,
      signal,
    );
  }

  /** The image will not be asked about any more. */
  release(scene: Encoded): void {
    scene.released = true;
    scene.snapshot?.release();
    scene.snapshot = null;
    if (this.#live === scene) this.#live = null;
  }

  memory(): Promise<BackendMemory> {
    return this.#parts.backend.memory();
  }

  dispose(): Promise<void> {
    return this.#parts.backend.dispose();
  }

  #prompt(question: string): PromptTokens {
    return promptOf(this.#parts, question);
  }

  /** Keeps the prefix of the image in the cache, which is about to be overwritten. */
  async #setAside(): Promise<void> {
    const live = this.#live;
    this.#live = null;
    if (!live || live.released || live.snapshot) return;
    const snapshot = await this.#parts.backend.saveCache(live.tokens);
    // Let go while it was saved: nobody else would free it.
    if (live.released) snapshot.release();
    else live.snapshot = snapshot;
  }
}

/**
 * The model's input, `[channels, side, side]`.
 *
 * @throws {LoadError} `CONFIG_INVALID` when the image processor makes another size than the vision tower takes.
 */
export function pixelsOf(config: ModelConfig, preprocessor: PreprocessorConfig, image: Pixels) {
  const result = preprocess(image, preprocessor, config.imageAspectRatio);
  const { width, height } = result;
  const { imageSize } = config.vision;
  if (width === imageSize && height === imageSize) return result;
  throw new LoadError({
    code: 'CONFIG_INVALID',
    message: `preprocessor_config.json makes ${width} x ${height} pixels; config.json wants ${imageSize} x ${imageSize}.`,
    fix: 'Use the preprocessor_config.json that belongs to this model.',
  });
}

function forgotten(): ArgumentError {
  return new ArgumentError({
    code: 'IMAGE_INVALID',
    message: 'The scene was disposed of.',
    fix: 'Look at the picture again with this model.',
  });
}
