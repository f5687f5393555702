import type { BackendMemory } from '../backend/index.ts';
import { AbortedError, DeviceError } from '../errors/index.ts';
import type { Prompt } from '../pipeline/prompt.ts';
import { Answer } from './answer.ts';
import { beginning, Chat, type ChatOptions } from './chat.ts';
import type { Answered, AnswerListener, AnswerRequest, Engine, ModelInfo } from './engine.ts';
import { takeImage, type ImageInput } from './image.ts';
import { checkCommon, without, type AskOptions } from './options.ts';
import { Scene } from './scene.ts';
import { checkBox, checkGround, notLength, type CaptionOptions, type PixelBox } from './tasks/check.ts';
import { groundAll } from './tasks/ground.ts';
import { Grounding, type GroundOptions } from './tasks/grounding.ts';
import { describePrompt } from './tasks/prompts.ts';

/** A loaded model. Made by `load`. Questions are answered one at a time, in the order they were asked. */
export class Model {
  readonly #engine: Engine;
  readonly #disposing = new AbortController();
  #disposed: Promise<void> | null = null;
  /** Set once a thread has failed: what the threads hold can't be relied on any more. */
  #failure: DeviceError | null = null;

  /** Not for applications: they get models from `load`. */
  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** What runs now: a device that was lost may have been replaced by another one. */
  get info(): ModelInfo {
    return this.#engine.info;
  }

  /**
   * Answers a question on a picture, or on a scene from {@link look}. Returns at once; errors come out of the answer.
   * The picture of the last question is remembered: asking again about the same bytes costs only the question.
   *
   * @param prompt the question, or a conversation about the picture whose last message asks; the picture stands in its first
   *   question, unless a part `{ type: 'image' }` says where.
   */
  ask(image: ImageInput | Scene, prompt: Prompt, options: AskOptions = {}): Answer {
    // A wrong signal is reported by the answer, like every other error.
    const given: unknown = (options as AskOptions | null)?.signal;
    return new Answer(
      async (listener, stopped) => {
        const prepare = (signal: AbortSignal): AnswerRequest => {
          checkCommon(options);
          const { readPixels } = this.#engine;
          const about = image instanceof Scene ? image.idFor(this) : takeImage(image, readPixels, signal);
          return { image: about, prompt, options: without(options, 'signal') };
        };
        return (await this.#answer(prepare, listener, stopped)).state;
      },
      given instanceof AbortSignal ? given : undefined,
    );
  }

  /**
   * Encodes a picture and keeps its vision tokens and KV prefix, so that each question costs only its own tokens.
   * Dispose of the scene when done; it holds the memory of its prefix once another picture is asked about.
   */
  look(image: ImageInput, options: { signal?: AbortSignal } = {}): Promise<Scene> {
    return this.#look(image, options, '?');
  }

  /**
   * Begins a conversation about a picture, or about a scene, which stays its owner's. Returns at once; what is wrong with the
   * picture comes out of the first answer, and the question after that looks at it again. Dispose of the chat when done.
   */
  chat(image: ImageInput | Scene, options: ChatOptions = {}): Chat {
    const owned = !(image instanceof Scene);
    const system = (options as ChatOptions | null)?.system;
    const look = owned
      ? (stopped: AbortSignal) =>
          this.#look(image, options, [...beginning(system), { role: 'user', content: '?' }], stopped)
      : () => Promise.resolve(image);
    return new Chat({
      look,
      owned,
      system,
      answer: (prepare, listener, stopped) =>
        this.#answer(
          async (signal) => {
            const { scene: about, request } = await prepare(signal);
            return { ...request, image: about.idFor(this) };
          },
          listener,
          stopped,
        ),
    });
  }

  /**
   * Finds phrases in a picture: their boxes in its own pixels, which await and iterate alike. What the model says is not there
   * has none. Coordinates are decoded under a constraint, so that whatever the model answers can be read.
   *
   * The errors of {@link ask}; `OPTION_INVALID` for phrases that are none.
   *
   * @param phrases what to find, as "the red star"; several are looked for one after another.
   */
  ground(
    image: ImageInput | Scene,
    phrases: string | readonly string[],
    options: GroundOptions = {},
  ): Grounding {
    return new Grounding(async (emit, stopped) => {
      checkCommon(options);
      const list = checkGround(phrases, options);
      const signal = options.signal ? AbortSignal.any([options.signal, stopped]) : stopped;
      await groundAll(this, image, list, { ...options, signal }, emit);
    });
  }

  /**
   * Says what is in a picture, in one sentence or in detail.
   *
   * @param options those of {@link ask}, and `length`; `short` by default.
   */
  caption(image: ImageInput | Scene, options: CaptionOptions = {}): Answer {
    const { caption } = this.#engine.info.config.tasks;
    const length: unknown = (options as CaptionOptions | null)?.length ?? 'short';
    if (length === 'short' || length === 'detailed')
      return this.ask(image, caption[length], without(options, 'length'));
    return new Answer(() => Promise.reject(notLength(length)), undefined);
  }

  /**
   * Says what is in a part of a picture: the reverse of {@link ground}. A picture that is no scene is looked at for each call.
   *
   * @param box in pixels of the upright picture; what lies outside of it is left out.
   */
  describe(image: ImageInput | Scene, box: PixelBox, options: AskOptions = {}): Answer {
    const given: unknown = (options as AskOptions | null)?.signal;
    return new Answer(
      async (listener, stopped) => {
        const owned = image instanceof Scene ? null : await this.#look(image, { signal: stopped }, '?');
        const scene = owned ?? (image as Scene);
        try {
          const prepare = (): AnswerRequest => {
            checkCommon(options);
            const prompt = describePrompt(
              this.#engine.info.config.tasks,
              checkBox(box, scene),
              scene.geometry,
            );
            return { image: scene.idFor(this), prompt, options: without(options, 'signal') };
          };
          return (await this.#answer(prepare, listener, stopped)).state;
        } finally {
          owned?.dispose();
        }
      },
      given instanceof AbortSignal ? given : undefined,
    );
  }

  /** Bytes in use by the backend. */
  memory(): Promise<BackendMemory> {
    return this.#guard(() => this.#engine.memory());
  }

  /** Ends all work with `MODEL_DISPOSED`, stops the threads and frees the memory. */
  async dispose(): Promise<void> {
    this.#disposing.abort();
    await (this.#disposed ??= this.#engine.dispose());
  }

  /** `await using`: {@link dispose}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /**
   * @param like a prompt that begins as the questions will.
   * @param stopped ends it, too.
   */
  async #look(
    image: ImageInput,
    options: { signal?: AbortSignal },
    like: Prompt,
    stopped?: AbortSignal,
  ): Promise<Scene> {
    return this.#guard(async () => {
      checkCommon(options);
      const signal = this.#signal(options.signal, stopped);
      const taken = takeImage(image, this.#engine.readPixels, signal);
      const looked = await this.#engine.look({ image: taken, like }, signal);
      return new Scene(this, looked, () => this.#engine.release(looked.id));
    });
  }

  /** @param prepare makes the request, at once or when it is known. */
  #answer(
    prepare: (signal: AbortSignal) => AnswerRequest | Promise<AnswerRequest>,
    listener: AnswerListener,
    stopped: AbortSignal,
  ): Promise<Answered> {
    return this.#guard(async () => {
      const signal = this.#signal(stopped);
      const request = prepare(signal);
      return this.#engine.answer(request instanceof Promise ? await request : request, listener, signal);
    });
  }

  #signal(...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
    const given = signals.filter((signal) => signal !== undefined);
    return given.length ? AbortSignal.any([...given, this.#disposing.signal]) : this.#disposing.signal;
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
        await this.#engine.dispose();
      }
      throw this.#disposing.signal.aborted ? error : (this.#failure ?? error);
    }
  }
}

/** What work on a model that was disposed of fails with. */
export function disposed(cause?: unknown): DeviceError {
  return new DeviceError({
    code: 'MODEL_DISPOSED',
    message: 'The model was disposed of.',
    fix: 'Load it again to ask more.',
    cause,
  });
}
