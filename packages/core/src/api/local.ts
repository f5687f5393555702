import type { BackendMemory } from '../backend/index.ts';
import { ArgumentError, untilAborted } from '../errors/index.ts';
import type { Host } from '../host.ts';
import type { FinishReason, Piece, Progress, Question } from '../pipeline/generate.ts';
import type { Encoded } from '../pipeline/instance.ts';
import type { Runtime } from '../pipeline/runtime.ts';
import type {
  Answered,
  AnswerListener,
  AnswerRequest,
  AnswerState,
  Engine,
  Looked,
  LookRequest,
  ModelInfo,
  SceneId,
} from './engine.ts';
import { explain } from './explain.ts';
import { readSource, sameSource, type ImageSource, type ReadPixels, type TakenImage } from './image.ts';

/** What an answer is about, and what finding it took. */
interface Subject {
  readonly scene: Encoded;
  /** Milliseconds of reading and decoding. */
  readonly read: number;
  readonly fresh: boolean;
}

/** A model in this thread: a host and a runtime. */
export class LocalEngine implements Engine {
  readonly #host: Host;
  readonly #runtime: Runtime;
  readonly #info: () => ModelInfo;
  readonly #scenes = new Map<SceneId, Encoded>();
  #nextScene = 1;
  /** By scene: the same picture behind the beginning of the last conversation that began otherwise. */
  readonly #behind = new Map<Encoded, Encoded>();
  /** The picture of the last question, kept so that the next one on it is not encoded again. */
  #last: { source: ImageSource; scene: Encoded } | null = null;

  constructor(host: Host, runtime: Runtime, info: () => ModelInfo) {
    this.#host = host;
    this.#runtime = runtime;
    this.#info = info;
  }

  get info(): ModelInfo {
    return this.#info();
  }

  get readPixels(): ReadPixels {
    return this.#host.readPixels?.bind(this.#host);
  }

  async look({ image, like }: LookRequest, signal: AbortSignal): Promise<Looked> {
    const { before } = this.#runtime.prompt(like);
    const source = await this.#read(image, signal);
    const pixels = await source.pixels(signal);
    const runtime = this.#runtime;
    const scene = await runtime.enqueue(() => runtime.encode(pixels, before, signal), signal);
    const id = this.#nextScene++;
    this.#scenes.set(id, scene);
    const { timings } = scene;
    return { id, ...pictureOf(scene), timings, explanation: this.#explain(scene) };
  }

  async answer(request: AnswerRequest, listener: AnswerListener, signal: AbortSignal): Promise<Answered> {
    const runtime = this.#runtime;
    const start = performance.now();
    const { image, options, turn } = request;
    // Everything that can be refused is refused before any work is done.
    const prompt = runtime.prompt(request.prompt, turn?.said);
    const least = runtime.question(prompt, options);
    // The place in the queue is taken at once: reading a file may take longer than reading the next one.
    const reading = typeof image === 'number' ? null : this.#read(image, signal);
    const asked = performance.now();
    const job = runtime.enqueue(async () => {
      const queued = performance.now() - asked;
      await least.format;
      const subject = await this.#subject(image, reading, prompt.before, signal);
      const { scene } = subject;
      // How many tokens a picture of several tiles has shows when it is there.
      const known = least.imageTokens === scene.picture.tokens;
      const question = known ? least : runtime.question(prompt, options, scene);
      const progress: Progress = { tokens: 0, reused: 0, prefill: 0, decode: 0 };
      const picture = pictureOf(scene);
      const explanation = options.explain ? this.#explain(scene) : null;
      const state = (finishReason: FinishReason | null, total: number): AnswerState => ({
        ...figures(subject, question, progress, queued, total),
        finishReason,
        picture,
        explanation,
      });
      listener.observe(() => state(null, performance.now() - start));
      let text = '';
      const emit = (piece: Piece): void => {
        text += piece.text;
        listener.emit(piece);
      };
      const { reason, ids } = await runtime.answer(scene, question, progress, emit, !!turn, signal);
      const said = runtime.says(ids, text) ? [...prompt.after, ...ids] : null;
      return { state: state(reason, performance.now() - start), said };
    }, signal);
    // A picture that can't be read is reported now, not when its turn comes.
    job.catch(() => undefined);
    reading?.catch(() => undefined);
    await least.format;
    await reading;
    return job;
  }

  release(id: SceneId): void {
    const scene = this.#scenes.get(id);
    this.#scenes.delete(id);
    if (scene) this.#forget(scene);
  }

  memory(): Promise<BackendMemory> {
    return this.#runtime.memory();
  }

  async dispose(): Promise<void> {
    this.#last = null;
    this.#scenes.clear();
    this.#behind.clear();
    await this.#runtime.dispose();
  }

  async #read(image: TakenImage | Promise<TakenImage>, signal: AbortSignal): Promise<ImageSource> {
    return readSource(this.#host, await untilAborted(Promise.resolve(image), signal), signal);
  }

  /** The scene to answer about: the caller's, the last picture's when it is the same, or a new one. */
  async #subject(
    image: AnswerRequest['image'],
    reading: Promise<ImageSource> | null,
    before: readonly number[],
    signal: AbortSignal,
  ): Promise<Subject> {
    const start = performance.now();
    const known = reading ? this.#lastLike(await reading) : this.#sceneOf(image);
    const read = performance.now() - start;
    if (known) {
      if (sameIds(known.before, before)) return { scene: known, read, fresh: false };
      return { ...(await this.#behindOther(known, before, signal)), read };
    }
    const source = await reading;
    if (!source) throw new Error('a picture has a source');
    const pixels = await source.pixels(signal);
    const decoded = performance.now() - start;
    // Only one picture is remembered: the one before is let go before the cache is taken over.
    if (this.#last) this.#forget(this.#last.scene);
    this.#last = null;
    const scene = await this.#runtime.encode(pixels, before, signal);
    this.#last = { source, scene };
    return { scene, read: decoded, fresh: true };
  }

  /** @throws {ArgumentError} `IMAGE_INVALID`. */
  #sceneOf(id: AnswerRequest['image']): Encoded {
    const scene = typeof id === 'number' ? this.#scenes.get(id) : undefined;
    if (scene) return scene;
    throw new ArgumentError({
      code: 'IMAGE_INVALID',
      message: 'The scene was disposed of.',
      fix: 'Look at the picture again with this model.',
    });
  }

  #lastLike(source: ImageSource): Encoded | null {
    return this.#last && sameSource(this.#last.source, source) ? this.#last.scene : null;
  }

  /** A scene's picture behind other tokens: kept beside it until a conversation begins otherwise again. */
  async #behindOther(
    scene: Encoded,
    before: readonly number[],
    signal: AbortSignal,
  ): Promise<{ scene: Encoded; fresh: boolean }> {
    const kept = this.#behind.get(scene);
    if (kept && sameIds(kept.before, before)) return { scene: kept, fresh: false };
    if (kept) this.#runtime.release(kept);
    this.#behind.delete(scene);
    const other = await this.#runtime.encodeBehind(before, scene, signal);
    this.#behind.set(scene, other);
    // Let go while it was encoded: nobody else would free it.
    if (scene.released) this.#forget(scene);
    return { scene: other, fresh: true };
  }

  #forget(scene: Encoded): void {
    const other = this.#behind.get(scene);
    this.#behind.delete(scene);
    if (other) this.#runtime.release(other);
    this.#runtime.release(scene);
  }

  #explain(scene: Encoded): ReturnType<typeof explain> {
    return explain(this.#runtime.config, scene.picture.frames, scene.attention);
  }
}

function pictureOf({ width, height, picture }: Encoded): Omit<Looked, 'id' | 'timings' | 'explanation'> {
  return { width, height, geometry: picture.geometry };
}

function figures(
  { scene, read, fresh }: Subject,
  { promptTokens, imageTokens }: Question,
  { tokens, reused, prefill, decode }: Progress,
  queued: number,
  total: number,
): Pick<AnswerState, 'usage' | 'timings'> {
  const { preprocess, vision, prefix } = scene.timings;
  return {
    usage: {
      promptTokens,
      imageTokens,
      cachedTokens: (fresh ? 0 : scene.tokens) + reused,
      completionTokens: tokens,
    },
    timings: {
      queued,
      image: read + (fresh ? preprocess : 0),
      vision: fresh ? vision + prefix : 0,
      prefill,
      decode,
      total,
      // The first token comes out of the prefill.
      tokensPerSecond: tokens > 1 ? ((tokens - 1) / decode) * 1000 : 0,
    },
  };
}

function sameIds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
