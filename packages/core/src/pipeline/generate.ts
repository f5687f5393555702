import type { Backend } from '../backend/index.ts';
import { ArgumentError, throwIfAborted } from '../errors/index.ts';
import type { ModelConfig } from '../models/config.ts';
import { visualTokenCount } from '../models/registry.ts';
import type { PromptTokens } from '../text/chat.ts';
import { createStopMatcher, type StopMatcher } from '../text/stop.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import type { Executables } from './executables.ts';
import { createSampler, type Sampler, type SamplingOptions } from './sampler.ts';

/** Rows of text that one prefill run takes: bounds scratch memory and the number of shapes. */
const CHUNK = 256;
/** Tokens of an answer when the caller does not say. */
const DEFAULT_MAX_TOKENS = 512;

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens of the answer; by default 512, or what the context has room for. */
  maxTokens?: number;
  /** The answer ends before the first of these. */
  stop?: readonly string[];
  signal?: AbortSignal;
}

/** Why an answer ended: the model said so, `maxTokens`, a stop string, or the caller. */
export type FinishReason = 'stop' | 'length' | 'stop_string' | 'cancelled';

/** What has been done of an answer; kept up to date while it comes. */
export interface Progress {
  tokens: number;
  /** Milliseconds. */
  prefill: number;
  decode: number;
}

/** A question made ready: everything about it that can be refused has been checked. For one answer. */
export interface Question {
  readonly prompt: PromptTokens;
  /** Image included. */
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly sampler: Sampler;
  readonly stops: StopMatcher;
}

/**
 * Checks a question and its options, before any work is done.
 *
 * @throws {ArgumentError} `PROMPT_TOO_LONG` when image and question leave no room for an answer, `CONTEXT_FULL` when
 *   they leave less than `maxTokens`, `OPTION_INVALID`.
 */
export function prepare(config: ModelConfig, prompt: PromptTokens, options: GenerateOptions): Question {
  const { context, vocab } = config.text;
  const { maxTokens } = options;
  const promptTokens = prompt.before.length + visualTokenCount(config) + prompt.after.length;
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
  return {
    prompt,
    promptTokens,
    maxTokens: maxTokens ?? Math.min(DEFAULT_MAX_TOKENS, room),
    sampler: createSampler(options, vocab),
    stops: createStopMatcher(options.stop ?? []),
  };
}

/**
 * Answers from a KV cache that holds the image's prefix of `prefix` tokens: prefills what follows the image, then decodes token by
 * token. `emit` gets pieces of text as they become certain, without white space before the first word.
 */
export async function generate(
  backend: Backend,
  executables: Executables,
  config: ModelConfig,
  tokenizer: Tokenizer,
  prefix: number,
  question: Question,
  progress: Progress,
  emit: (text: string) => void,
  signal?: AbortSignal,
): Promise<FinishReason> {
  const { sampler, stops, maxTokens } = question;
  const { after } = question.prompt;
  const detokenizer = tokenizer.detokenizer();
  // What a repetition penalty looks at: the answer so far, as in Hugging Face where a prompt comes as embeddings.
  const history: number[] = [];
  let pos = prefix;
  let begun = false;
  const started = performance.now();

  const forward = async (ids: readonly number[]): Promise<Float32Array> => {
    const executable = await executables.tokens(ids.length);
    const [logits] = await backend.run(executable, { inputs: { ids: Uint32Array.from(ids) }, pos, signal });
    pos += ids.length;
    return logits;
  };

  let logits: Float32Array = new Float32Array(0);
  for (let at = 0; at < after.length; at += CHUNK) logits = await forward(after.slice(at, at + CHUNK));
  progress.prefill = performance.now() - started;

  for (;;) {
    throwIfAborted(signal);
    const { id } = sampler.sample(logits, history);
    if (config.text.eos.includes(id)) {
      show(stops.push(detokenizer.flush()).text + stops.flush());
      return 'stop';
    }
    progress.tokens++;
    history.push(id);
    const { text, stopped } = stops.push(detokenizer.push(id));
    show(text);
    if (stopped) return 'stop_string';
    if (progress.tokens === maxTokens) {
      show(stops.push(detokenizer.flush()).text + stops.flush());
      return 'length';
    }
    logits = await forward([id]);
    progress.decode = performance.now() - started - progress.prefill;
  }

  /** Templates end in `ASSISTANT:`, so answers start with a space that belongs to nobody. */
  function show(text: string): void {
    const shown = begun ? text : text.trimStart();
    if (!shown) return;
    begun = true;
    emit(shown);
  }
}
