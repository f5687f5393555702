import { ArgumentError, throwIfAborted } from '../errors/index.ts';
import type { ModelConfig } from '../models/config.ts';
import type { PromptTokens } from '../text/chat.ts';
import type { Constraint, Format, Walk } from '../text/constraint/index.ts';
import type { Detokenizer } from '../text/detokenizer.ts';
import { createStopMatcher, type StopMatcher } from '../text/stop.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import type { Instance } from './instance.ts';
import { createRandom } from './random.ts';
import { checkSampling, createSampler, probabilityOf, type SamplingOptions } from './sampler.ts';

/** Rows of text that one prefill run takes: bounds scratch memory and the number of shapes. */
export const CHUNK = 256;
/** Tokens of an answer when the caller does not say. */
const DEFAULT_MAX_TOKENS = 512;

/** How an answer is made; all optional, the default is greedy. */
export interface GenerateOptions extends SamplingOptions {
  /** Most tokens of the answer; by default 512, or what the context has room for. */
  maxTokens?: number;
  /** The answer ends before the first of these. */
  stop?: readonly string[];
  /**
   * What the answer may say: `{ regex }` that all of it matches, `{ jsonSchema }` that it is valid by, or `{ choices }` of which it
   * is one. Tokens that lead elsewhere are not chosen; of the others the model and the sampling options choose. It holds for whole
   * answers: one that ends by `length` or `stop_string` may be only the beginning of such a text. The README says what regular
   * expressions and schemas may hold.
   */
  format?: Format;
  /** Keeps how likely the model found each token of the answer, in `answer.tokens`. */
  probabilities?: boolean;
  /** Stops the answer: `AbortedError`, at once. */
  signal?: AbortSignal;
}

/** Why an answer ended: the model said so, `maxTokens`, a stop string, or the caller. */
export type FinishReason = 'stop' | 'length' | 'stop_string' | 'cancelled';

/** One token of an answer. */
export interface AnswerToken {
  /**
   * What it adds to the text, as far as it is certain: empty for a token that ends inside a character. White space before the
   * first word and what a stop string cuts off are part of it.
   */
  readonly text: string;
  /** In 0..1, by the model alone: among all tokens, before the sampling options and a format take some away. */
  readonly probability: number;
}

/** A part of an answer, as it becomes certain. */
export interface Piece {
  /** What is new. */
  readonly text: string;
  /** The tokens that came since the last piece, where they were asked for. */
  readonly tokens?: readonly AnswerToken[];
}

/** What has been done of an answer; kept up to date while it comes. */
export interface Progress {
  tokens: number;
  /** Tokens behind the image that the cache held already. */
  reused: number;
  /** Milliseconds until the first token, bringing back the image's prefix included. */
  prefill: number;
  /** Milliseconds of the others. */
  decode: number;
}

/** A question made ready: everything about it that can be refused has been checked. For one answer. */
export interface Question {
  readonly prompt: PromptTokens;
  /** Image included. */
  readonly promptTokens: number;
  /** The image's part of them. */
  readonly imageTokens: number;
  readonly maxTokens: number;
  /** Tokens to choose from. */
  readonly vocab: number;
  /** All given, the seed too. */
  readonly sampling: Required<SamplingOptions>;
  readonly stops: StopMatcher;
  /** What the answer may say, still being made ready; `null`: anything. */
  readonly format: Promise<Constraint> | null;
  readonly probabilities: boolean;
}

/**
 * Checks a question and its options, before any work is done. `visual`: how many tokens the image has; the fewest that it can
 * have, while it was not looked at. `constrain` makes a format ready; what it finds wrong comes out of {@link Question.format}.
 *
 * @throws {ArgumentError} `PROMPT_TOO_LONG` when image and question leave no room for an answer, `CONTEXT_FULL` when
 *   they leave less than `maxTokens`, `OPTION_INVALID`.
 */
export function prepare(
  config: ModelConfig,
  prompt: PromptTokens,
  visual: number,
  options: GenerateOptions,
  constrain: (format: Format) => Promise<Constraint>,
): Question {
  const { context, vocab } = config.text;
  const { maxTokens, format: wanted } = options;
  const promptTokens = prompt.before.length + visual + prompt.after.length;
  const room = context - promptTokens;
  if (maxTokens !== undefined && !(Number.isInteger(maxTokens) && maxTokens >= 1)) {
    throw new ArgumentError({
      code: 'OPTION_INVALID',
      message: `maxTokens is ${maxTokens}; it must be a whole number of at least 1.`,
      fix: 'Leave maxTokens out for the default.',
    });
  }
  if (room < 1) {
    throw new ArgumentError({
      code: 'PROMPT_TOO_LONG',
      message: `Image and question take ${promptTokens} tokens; the model's context is ${context}.`,
      fix: `Shorten the question by at least ${1 - room} tokens.`,
    });
  }
  if (maxTokens !== undefined && maxTokens > room) {
    throw new ArgumentError({
      code: 'CONTEXT_FULL',
      message: `maxTokens is ${maxTokens}, but only ${room} of the context's ${context} tokens are left.`,
      fix: `Ask for at most ${room} tokens, or shorten the question.`,
    });
  }
  const sampling = checkSampling(options);
  const stops = createStopMatcher(options.stop ?? []);
  const format = wanted === undefined ? null : constrain(wanted);
  // Whoever answers waits for it; the question may be refused for something else before.
  format?.catch(() => undefined);
  return {
    prompt,
    promptTokens,
    imageTokens: visual,
    maxTokens: maxTokens ?? Math.min(DEFAULT_MAX_TOKENS, room),
    vocab,
    sampling,
    stops,
    format,
    probabilities: options.probabilities ?? false,
  };
}

/** A token, and how likely the model found it: 0 where nobody asked. */
export interface Decided {
  readonly id: number;
  readonly probability: number;
}

/**
 * An answer as it grows from token to token: all of it that is not on the device, so that a lost one takes nothing from it.
 * For one answer.
 */
export class Transcript {
  readonly #eos: readonly number[];
  readonly #question: Question;
  readonly #progress: Progress;
  readonly #emit: (piece: Piece) => void;
  readonly #detokenizer: Detokenizer;
  readonly #started = performance.now();
  readonly #ids: number[] = [];
  readonly #walk: Walk | null;
  /** Whether what comes now is shown as it is: text has begun, or white space before it belongs to a format. */
  #begun: boolean;
  #reason: FinishReason | null = null;
  #fed = 0;

  /** `emit` gets pieces of text as they become certain, without white space before the first word. */
  constructor(
    eos: readonly number[],
    tokenizer: Tokenizer,
    question: Question,
    progress: Progress,
    constraint: Constraint | null,
    emit: (piece: Piece) => void,
  ) {
    this.#walk = constraint?.walk() ?? null;
    this.#begun = constraint?.keepsSpace ?? false;
    this.#eos = eos;
    this.#question = question;
    this.#progress = progress;
    this.#emit = emit;
    this.#detokenizer = tokenizer.detokenizer();
  }

  /** The tokens of the answer so far. */
  get ids(): readonly number[] {
    return this.#ids;
  }

  /** `null` while the answer goes on. */
  get reason(): FinishReason | null {
    return this.#reason;
  }

  /** How many of the tokens the model has read: the last one decided came out of these. */
  get fed(): number {
    return this.#fed;
  }

  /** The tokens that may come next, as bits by id; `null`: any. */
  allowed(): Uint32Array | null {
    return this.#walk?.allowed() ?? null;
  }

  /** Takes the next token; gives why the answer ends with it, or `null`. */
  take(decided: Decided): FinishReason | null {
    this.#clock();
    this.#fed = this.#ids.length;
    this.#reason = this.#add(decided);
    return this.#reason;
  }

  #add({ id, probability }: Decided): FinishReason | null {
    const { stops, maxTokens, probabilities } = this.#question;
    if (this.#eos.includes(id)) {
      this.#finish();
      return 'stop';
    }
    this.#ids.push(id);
    this.#progress.tokens++;
    const written = this.#detokenizer.push(id);
    const { text, stopped } = stops.push(written);
    this.#show(text, probabilities ? [{ text: written, probability }] : undefined);
    if (stopped) return 'stop_string';
    this.#walk?.take(id);
    const ended = this.#walk?.ended ?? false;
    if (!ended && this.#ids.length < maxTokens) return null;
    this.#finish();
    return ended ? 'stop' : 'length';
  }

  #clock(): void {
    const elapsed = performance.now() - this.#started;
    if (this.#ids.length === 0) this.#progress.prefill = elapsed;
    else this.#progress.decode = elapsed - this.#progress.prefill;
  }

  #finish(): void {
    const { stops } = this.#question;
    this.#show(stops.push(this.#detokenizer.flush()).text + stops.flush());
  }

  /** Templates end in `ASSISTANT:`, so answers start with a space that belongs to nobody. */
  #show(text: string, tokens?: readonly AnswerToken[]): void {
    const shown = this.#begun ? text : text.trimStart();
    if (shown) this.#begun = true;
    if (tokens) this.#emit({ text: shown, tokens });
    else if (shown) this.#emit({ text: shown });
  }
}

/** Pieces of `size` in their order; the last one has what is left. */
export function chunksOf<T extends { readonly length: number; slice(from: number, to: number): T }>(
  ids: T,
  size: number,
): T[] {
  const count = Math.ceil(ids.length / size);
  return Array.from({ length: count }, (_, i) => ids.slice(i * size, (i + 1) * size));
}

/**
 * The tokens of an answer, from a KV cache that holds the image's prefix of `prefix` tokens: prefills what follows the
 * image, then decodes without end; whoever takes the tokens into `transcript` knows when to leave. Those that it has already were
 * decided on a device that was lost: they are fed and drawn for, but not yielded. What is yielded is one object that the next token
 * overwrites.
 *
 * What a repetition penalty looks at is the answer alone, as in Hugging Face where a prompt comes as embeddings.
 */
export async function* decide(
  { backend, executables }: Instance,
  question: Question,
  prefix: number,
  transcript: Transcript,
  signal?: AbortSignal,
): AsyncGenerator<Decided, void, undefined> {
  const { sampling, maxTokens, vocab, probabilities } = question;
  const { after } = question.prompt;
  const decided = { id: 0, probability: 0 };
  let pos = prefix;
  const forward = async (ids: readonly number[]): Promise<Float32Array> => {
    const executable = await executables.tokens(ids.length);
    const [logits] = await backend.run(executable, { inputs: { ids: Uint32Array.from(ids) }, pos, signal });
    pos += ids.length;
    return logits;
  };

  const chunks = chunksOf(after, CHUNK);
  const last = chunks.pop() ?? [];
  for (const chunk of chunks) await forward(chunk);
  const draw = createRandom(sampling.seed);
  const known = transcript.ids.slice();

  // A device that samples by itself has the logits for itself.
  if (backend.decode && !question.format && !probabilities) {
    const prompt = await executables.tokens(last.length);
    const step = await executables.tokens(1);
    const ids = Uint32Array.from(last);
    const decode = { prompt, ids, pos, step, known, count: maxTokens, sampling, draw, signal };
    for await (const id of backend.decode(decode)) {
      decided.id = id;
      yield decided;
    }
    return;
  }

  const sampler = createSampler(sampling, vocab, draw);
  const history: number[] = [];
  let logits = await forward(last);
  for (;;) {
    throwIfAborted(signal);
    if (history.length < known.length) {
      if (sampling.temperature !== 0) draw();
      history.push(known[history.length]);
    } else {
      const { id } = sampler.sample(logits, history, transcript.allowed());
      decided.id = id;
      if (probabilities) decided.probability = probabilityOf(logits, id, vocab);
      yield decided;
      history.push(id);
    }
    logits = await forward(history.slice(-1));
  }
}
