import type { BackendMemory, Warning } from '../backend/index.ts';
import { AbortedError, ArgumentError, DeviceError, LlavaSpError, throwIfAborted } from '../errors/index.ts';
import type { PreprocessorConfig } from '../image/preprocess.ts';
import type { Pixels } from '../image/pixels.ts';
import type { ModelConfig } from '../models/config.ts';
import { visualTokenRange } from '../models/visual.ts';
import type { PromptTokens } from '../text/chat.ts';
import type { Constraint, Constraints, Format } from '../text/constraint/index.ts';
import {
  decide,
  prepare,
  Transcript,
  type FinishReason,
  type GenerateOptions,
  type Piece,
  type Progress,
  type Question,
} from './generate.ts';
import type { Encoded, Instance } from './instance.ts';
import { pictureOf, type Picture } from './picture.ts';
import { promptOf, type Prompt, type PromptParts } from './prompt.ts';
import { Queue } from './queue.ts';

/** A device that is lost so often within so many milliseconds is given up for that long. */
const MOST_LOSSES = 3;
const LOSS_WINDOW = 60_000;

/** The parts of a loaded model. */
export interface RuntimeParts extends PromptParts {
  readonly preprocessor: PreprocessorConfig;
  /**
   * Starts a device with the model in it: for the first time, and again after each loss. Rejects leaving nothing behind,
   * soon after `signal` is aborted.
   */
  start(signal: AbortSignal | undefined): Promise<Instance>;
  /** Hears of what went wrong and was mended. */
  warn(warning: Warning): void;
}

/**
 * One model and its queue of work, on a backend that may be lost: then the work at hand starts another one, and goes on
 * where it was.
 */
export class Runtime {
  readonly #parts: RuntimeParts;
  #config: ModelConfig;
  readonly #queue = new Queue();
  /** `null` before the first start, and from a loss until the next one. */
  #instance: Instance | null = null;
  /** When devices were lost, as `performance.now()`; those within the window. */
  #losses: number[] = [];
  /** Why the last one was lost; `null` while one is there, and before the first. */
  #loss: DeviceError | null = null;
  /** A device that is being started or disposed of. */
  #changing: Promise<unknown> = Promise.resolve();
  #disposed = false;
  /** Loaded with the first answer that has a format. */
  #constraints: Promise<Constraints> | null = null;

  constructor(parts: RuntimeParts) {
    this.#parts = parts;
    this.#config = parts.config;
  }

  /** The model's, with the context that the device has room for. */
  get config(): ModelConfig {
    return this.#config;
  }

  /** Starts the device. @throws what {@link RuntimeParts.start} throws; `DEVICE_LOST` after three losses. */
  async begin(signal?: AbortSignal): Promise<void> {
    await this.#surviving(() => Promise.resolve(), signal);
  }

  /** The tokens of a question or conversation; see `promptOf`. */
  prompt(prompt: Prompt, said?: readonly number[] | null): PromptTokens {
    return promptOf(this.#parts, prompt, said);
  }

  /**
   * Checks a question on a picture, before any work is done; see `prepare` for what it throws. Without `scene` the picture
   * counts as many tokens as it has at least.
   */
  question(prompt: PromptTokens, options: GenerateOptions, scene?: Encoded): Question {
    const visual = scene?.picture.tokens ?? visualTokenRange(this.config).least;
    return prepare(this.config, prompt, visual, options, (format) => this.#constrain(format));
  }

  /** Runs one job when the earlier ones are done. */
  enqueue<T>(job: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#queue.run(job, signal);
  }

  /**
   * Encodes an image and leaves its prefix in the cache. To be called from a job.
   *
   * @param before the prompt's tokens before the image.
   * @throws {ArgumentError} `PROMPT_TOO_LONG` for a picture of more tiles than the device has room for.
   */
  async encode(image: Pixels, before: readonly number[], signal?: AbortSignal): Promise<Encoded> {
    const { config, preprocessor } = this.#parts;
    const start = performance.now();
    const picture = pictureOf(config, preprocessor, image);
    const preprocess = performance.now() - start;
    return this.#encode(picture, image, before, preprocess, signal);
  }

  /** The same image behind another beginning of the prompt. To be called from a job. */
  encodeBehind(before: readonly number[], scene: Encoded, signal?: AbortSignal): Promise<Encoded> {
    return this.#encode(scene.picture, scene, before, 0, signal);
  }

  async #encode(
    picture: Picture,
    { width, height }: { readonly width: number; readonly height: number },
    before: readonly number[],
    preprocess: number,
    signal?: AbortSignal,
  ): Promise<Encoded> {
    const tokens = before.length + picture.tokens;
    this.#checkRoom(tokens);
    return this.#surviving(async (instance) => {
      const { attention, vision, prefix } = await instance.see(picture, before, signal);
      const timings = { preprocess, vision, prefix };
      const encoded = { width, height, picture, before, tokens, attention, timings, released: false };
      instance.keep(encoded);
      return encoded;
    }, signal);
  }

  /**
   * Answers about an encoded image. To be called from a job.
   *
   * @param reuse whether tokens that the cache holds behind the image, of an earlier question, are not run again.
   * @returns why the answer ended, and its tokens.
   */
  async answer(
    scene: Encoded,
    question: Question,
    progress: Progress,
    emit: (piece: Piece) => void,
    reuse: boolean,
    signal?: AbortSignal,
  ): Promise<{ reason: FinishReason; ids: readonly number[] }> {
    const { config, tokenizer } = this.#parts;
    const constraint = await question.format;
    const transcript = new Transcript(config.text.eos, tokenizer, question, progress, constraint, emit);
    const { ids } = transcript;
    const { after } = question.prompt;
    return this.#surviving(async (instance) => {
      await instance.bring(scene, signal);
      // The last one is run in any case: the first token of the answer comes out of it.
      const held = reuse ? instance.common(after.slice(0, -1)) : 0;
      instance.hold(after.slice(0, held));
      progress.reused = held;
      const rest = { ...question, prompt: { ...question.prompt, after: after.slice(held) } };
      let taken = 0;
      try {
        for await (const decided of decide(instance, rest, scene.tokens + held, transcript, signal)) {
          throwIfAborted(signal);
          const reason = transcript.take(decided);
          taken++;
          if (reason) return { reason, ids };
        }
      } catch (error) {
        // The answer is whole: a device lost while it stops is for the next question to find.
        if (transcript.reason && isLoss(error)) return { reason: transcript.reason, ids };
        throw error;
      } finally {
        // A token that was taken is not in the cache before the next one came out of it.
        if (taken > 0) instance.hold([...after, ...ids.slice(0, transcript.fed)]);
      }
      throw new Error('the backend stopped decoding by itself');
    }, signal);
  }

  /** Whether an answer's tokens say just this; they may say more, when it was cut at a stop string. */
  says(ids: readonly number[], text: string): boolean {
    return this.#parts.tokenizer.decode(ids).trimStart() === text;
  }

  /** The image will not be asked about any more. */
  release(scene: Encoded): void {
    scene.released = true;
    this.#instance?.release(scene);
  }

  /** In bytes. Nothing, while a lost device is not replaced. */
  async memory(): Promise<BackendMemory> {
    try {
      if (this.#instance) return await this.#instance.backend.memory();
    } catch (error) {
      if (!isLoss(error)) throw error;
    }
    return { weights: 0, cache: 0, scratch: 0, total: 0 };
  }

  /** Frees the device; one that is being started too, if its signal is aborted. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    const disposing = this.#instance?.backend.dispose().catch((error: unknown) => {
      // A device that was lost unnoticed is gone as well.
      if (!isLoss(error)) throw error;
    });
    await Promise.all([disposing, this.#changing]);
  }

  /** Does `work` on the device; on another one, from its beginning, whenever the device is lost. */
  async #surviving<T>(work: (instance: Instance) => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (;;) {
      const instance = this.#instance ?? (await this.#replace(signal));
      try {
        return await work(instance);
      } catch (error) {
        // What is disposed of is gone, not lost.
        if (this.#disposed || !isLoss(error)) throw error;
        this.#instance = null;
        this.#count(error);
        // Its memory goes before another one takes as much. It may not answer any more: that is no news.
        await this.#change(() => instance.backend.dispose()).catch(() => undefined);
      }
    }
  }

  /** Starts a device where there is none. */
  async #replace(signal: AbortSignal | undefined): Promise<Instance> {
    for (;;) {
      throwIfAborted(signal);
      if (this.#disposed) throw new AbortedError();
      this.#refuseMany();
      try {
        const instance = await this.#change(() => this.#start(signal));
        const lost = this.#loss;
        this.#loss = null;
        if (lost) this.#parts.warn(recovered(lost, instance.backend.report.name));
        return instance;
      } catch (error) {
        if (isLoss(error)) this.#count(error);
        else throw this.#loss && !(error instanceof AbortedError) ? notReplaced(this.#loss, error) : error;
      }
    }
  }

  async #start(signal: AbortSignal | undefined): Promise<Instance> {
    const instance = await this.#parts.start(signal);
    if (this.#disposed) {
      await instance.backend.dispose();
      throw new AbortedError();
    }
    this.#instance = instance;
    this.#config = instance.config;
    return instance;
  }

  /** Something that {@link dispose} waits for. */
  #change<T>(work: () => Promise<T>): Promise<T> {
    const changing = work();
    this.#changing = changing.catch(() => undefined);
    return changing;
  }

  /** The model's largest picture fits its context; the device may have room for less. */
  #checkRoom(tokens: number): void {
    const { context } = this.config.text;
    if (tokens < context) return;
    throw new ArgumentError({
      code: 'PROMPT_TOO_LONG',
      message: `The picture takes ${tokens} tokens; the context that this device has room for is ${context}.`,
      fix: 'Crop the picture to a squarer shape, or free memory and load the model again.',
    });
  }

  async #constrain(format: Format): Promise<Constraint> {
    const { config, tokenizer } = this.#parts;
    this.#constraints ??= import('../text/constraint/index.ts').then(
      ({ Constraints }) => new Constraints(tokenizer, config.text.vocab, config.text.eos),
    );
    return (await this.#constraints).of(format);
  }

  #count(loss: DeviceError): void {
    this.#loss = loss;
    this.#losses.push(performance.now());
  }

  #refuseMany(): void {
    const now = performance.now();
    this.#losses = this.#losses.filter((time) => now - time < LOSS_WINDOW);
    if (this.#losses.length < MOST_LOSSES) return;
    throw new DeviceError({
      code: 'DEVICE_LOST',
      message: `The device was lost ${this.#losses.length} times within a minute; the last time: ${this.#loss?.message}`,
      fix: 'Close what else uses the device, or load the model with device "wasm"; asked again a minute later, it tries once more.',
      cause: this.#loss ?? undefined,
    });
  }
}

function isLoss(error: unknown): error is DeviceError {
  return error instanceof DeviceError && error.code === 'DEVICE_LOST';
}

function recovered(loss: DeviceError, name: string): Warning {
  return {
    code: 'DEVICE_RECOVERED',
    message: `${loss.message} The model was loaded again on ${name}.`,
  };
}

function notReplaced(loss: DeviceError, cause: unknown): DeviceError {
  const known = cause instanceof LlavaSpError ? cause : null;
  return new DeviceError({
    code: 'DEVICE_LOST',
    message: `${loss.message} The model could not be loaded again: ${cause instanceof Error ? cause.message : String(cause)}`,
    fix: known?.fix ?? 'Load the model again.',
    cause,
  });
}
