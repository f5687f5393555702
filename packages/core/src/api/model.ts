import type { BackendMemory, BackendReport, Choice, Warning } from '../backend/index.ts';
import { AbortedError, ArgumentError, DeviceError } from '../errors/index.ts';
import type { Host } from '../host.ts';
import type { ModelConfig } from '../models/config.ts';
import type { FinishReason, Progress } from '../pipeline/generate.ts';
import type { Encoded } from '../pipeline/instance.ts';
import type { WeightSummary } from '../pipeline/load_weights.ts';
import type { Runtime } from '../pipeline/runtime.ts';
import { Answer, type AnswerState, type Observe } from './answer.ts';
import { readSource, sameSource, type ImageInput, type ImageSource } from './image.ts';
import { checkCommon, type AskOptions } from './options.ts';
import { Scene } from './scene.ts';

/** What runs, where, and why. */
export interface ModelInfo {
  /** As `LLaVA-SP-Cropping`. */
  readonly name: string;
  readonly location: string;
  readonly config: ModelConfig;
  /** Visual tokens of an image: spatial ones, then patches. The most that there can be, where it depends on the image. */
  readonly visualTokens: number;
  /** The most tiles that an image is cut into, that of the whole included; 1: it is not cut. */
  readonly tiles: number;
  /** Bytes of the weights by format. */
  readonly weights: WeightSummary;
  readonly backend: BackendReport;
  /** Every choice that was made, device first, with its reason. */
  readonly choices: readonly Choice[];
  /** What did not go as hoped, from the load until now. */
  readonly warnings: readonly Warning[];
  /** Milliseconds that loading took. */
  readonly loadTime: number;
}

/** A loaded model. Made by `load`. Questions are answered one at a time, in the order they were asked. */
export class Model {
  readonly #info: () => ModelInfo;
  readonly #host: Host;
  readonly #runtime: Runtime;
  /** The picture of the last `ask`, kept so that the next question on it is not encoded again. */
  #last: { source: ImageSource; scene: Encoded } | null = null;
  readonly #disposing = new AbortController();
  #disposed: Promise<void> | null = null;
  /** Set once a thread has failed: what the threads hold can't be relied on any more. */
  #failure: DeviceError | null = null;

  /** Not for applications: they get models from `load`. */
  constructor(host: Host, runtime: Runtime, info: () => ModelInfo) {
    this.#host = host;
    this.#runtime = runtime;
    this.#info = info;
  }

  /** What runs now: a device that was lost may have been replaced by another one. */
  get info(): ModelInfo {
    return this.#info();
  }

  /**
   * Answers a question on a picture, or on a scene from {@link look}. Returns at once; errors come out of the answer.
   * The picture of the last question is remembered: asking again about the same bytes costs only the question.
   */
  ask(image: ImageInput | Scene, prompt: string, options: AskOptions = {}): Answer {
    // A wrong signal is reported by the answer, like every other error.
    const given: unknown = (options as AskOptions | null)?.signal;
    return new Answer(
      (emit, observe, signal) => this.#answer(image, prompt, options, emit, observe, signal),
      given instanceof AbortSignal ? given : undefined,
    );
  }

  /**
   * Encodes a picture and keeps its vision tokens and KV prefix, so that each question costs only its own tokens.
   * Dispose of the scene when done; it holds the memory of its prefix once another picture is asked about.
   */
  async look(image: ImageInput, options: { signal?: AbortSignal } = {}): Promise<Scene> {
    return this.#guard(async () => {
      checkCommon(options);
      const signal = this.#signal(options.signal);
      const source = await readSource(this.#host, image, signal);
      const pixels = await source.pixels(signal);
      const encoded = await this.#runtime.enqueue(() => this.#runtime.encode(pixels, signal), signal);
      return new Scene(this, encoded, (scene) => this.#runtime.release(scene));
    });
  }

  /** Bytes in use by the backend. */
  memory(): Promise<BackendMemory> {
    return this.#guard(() => this.#runtime.memory());
  }

  /** Ends all work with `MODEL_DISPOSED`, stops the threads and frees the memory. */
  async dispose(): Promise<void> {
    this.#disposing.abort();
    this.#last = null;
    await (this.#disposed ??= this.#runtime.dispose());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #answer(
    image: ImageInput | Scene,
    text: string,
    options: AskOptions,
    emit: (text: string) => void,
    observe: Observe,
    stopped: AbortSignal,
  ): Promise<AnswerState> {
    const signal = this.#signal(stopped);
    return this.#guard(async () => {
      const start = performance.now();
      checkCommon(options);
      // Everything that can be refused is refused before any work is done.
      if (typeof text !== 'string') throw notText(text);
      const least = this.#runtime.question(text, options);
      // The place in the queue is taken at once: reading a file may take longer than reading the next one.
      const reading = image instanceof Scene ? null : readSource(this.#host, image, signal);
      const asked = performance.now();
      const turn = this.#runtime.enqueue(async () => {
        const queued = performance.now() - asked;
        const read = performance.now();
        const source = await reading;
        const readTime = performance.now() - read;
        const { scene, decoded, fresh } = await this.#sceneOf(image, source, signal);
        // How many tokens a picture of several tiles has shows when it is there.
        const known = least.imageTokens === scene.picture.tokens;
        const question = known ? least : this.#runtime.question(text, options, scene);
        const progress: Progress = { tokens: 0, prefill: 0, decode: 0 };
        const { preprocess, vision, prefix } = scene.timings;
        const state = (finishReason: FinishReason | null, total: number): AnswerState => ({
          usage: {
            promptTokens: question.promptTokens,
            imageTokens: question.imageTokens,
            cachedTokens: fresh ? 0 : scene.tokens,
            completionTokens: progress.tokens,
          },
          timings: {
            queued,
            image: readTime + decoded + (fresh ? preprocess : 0),
            vision: fresh ? vision + prefix : 0,
            prefill: progress.prefill,
            decode: progress.decode,
            total,
            // The first token comes out of the prefill.
            tokensPerSecond: progress.tokens > 1 ? ((progress.tokens - 1) / progress.decode) * 1000 : 0,
          },
          finishReason,
        });
        observe(() => state(null, performance.now() - start));
        const reason = await this.#runtime.answer(scene, question, progress, emit, signal);
        return state(reason, performance.now() - start);
      }, signal);
      // A picture that can't be read is reported now, not when its turn comes.
      turn.catch(() => undefined);
      await reading;
      return turn;
    });
  }

  /** The scene to answer about: the caller's, the last picture's when it is the same, or a new one. */
  async #sceneOf(
    image: ImageInput | Scene,
    source: ImageSource | null,
    signal: AbortSignal,
  ): Promise<{ scene: Encoded; decoded: number; fresh: boolean }> {
    if (image instanceof Scene) return { scene: image.encodedFor(this), decoded: 0, fresh: false };
    if (!source) throw new Error('a picture has a source');
    if (this.#last && sameSource(this.#last.source, source)) {
      return { scene: this.#last.scene, decoded: 0, fresh: false };
    }
    const start = performance.now();
    const pixels = await source.pixels(signal);
    const decoded = performance.now() - start;
    // Only one picture is remembered: the one before is let go before the cache is taken over.
    if (this.#last) this.#runtime.release(this.#last.scene);
    this.#last = null;
    const scene = await this.#runtime.encode(pixels, signal);
    this.#last = { source, scene };
    return { scene, decoded, fresh: true };
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#disposing.signal]) : this.#disposing.signal;
  }

  /**
   * Work on a disposed model fails as such, whatever it was doing; so does all work once a thread has failed, and its
   * other threads, which may wait for it for ever, are stopped.
   */
  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      if (this.#disposing.signal.aborted) throw disposed();
      if (this.#failure) throw this.#failure;
      return await work();
    } catch (error) {
      const ended = this.#disposing.signal.aborted;
      if (ended && error instanceof AbortedError) throw disposed(error);
      if (!(error instanceof DeviceError)) throw error;
      // What dispose took from under the work.
      if (ended && error.code === 'DEVICE_LOST') throw disposed(error);
      if (error.code === 'WORKER_FAILED' && !this.#failure) {
        this.#failure = error;
        await this.#runtime.dispose();
      }
      throw this.#disposing.signal.aborted ? error : (this.#failure ?? error);
    }
  }
}

function disposed(cause?: unknown): DeviceError {
  return new DeviceError({
    code: 'MODEL_DISPOSED',
    message: 'The model was disposed of.',
    fix: 'Load it again to ask more.',
    cause,
  });
}

function notText(question: unknown): ArgumentError {
  return new ArgumentError({
    code: 'OPTION_INVALID',
    message: `The question is ${typeof question}; it must be a string.`,
    fix: 'Pass the question as text, as "What is in the picture?"',
  });
}
