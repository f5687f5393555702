import { ArgumentError, LoadError } from '../errors/index.ts';
import type { ModelConfig } from '../models/config.ts';
import { visualTokenRange } from '../models/visual.ts';
import { assemblePrompt, type ChatTemplate, type PromptTokens } from '../text/chat.ts';
import type { Tokenizer } from '../text/tokenizer.ts';

/** No tokenizer packs more characters into a token: the longest tokens there are, of Qwen2, hold 128 spaces. */
const MOST_CHARACTERS = 256;

export interface PromptParts {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
}

/**
 * The tokens of a question on a picture.
 *
 * @throws {ArgumentError} `PROMPT_TOO_LONG` for a text that needs no counting; `PROMPT_EMPTY`.
 * @throws {LoadError} `TOKENIZER_INVALID` when the tokenizer gives ids that the model has no embedding for.
 */
export function promptOf({ config, tokenizer, template }: PromptParts, question: string): PromptTokens {
  const { context, vocab } = config.text;
  // Millions of characters would keep the thread busy for seconds, only to be refused.
  if (question.length > context * MOST_CHARACTERS) {
    throw new ArgumentError({
      code: 'PROMPT_TOO_LONG',
      message: `The question has ${question.length} characters; the model's context is ${context} tokens.`,
      fix: 'Shorten the question.',
    });
  }
  const content = [{ type: 'image' } as const, { type: 'text', text: question } as const];
  const prompt = assemblePrompt(tokenizer, template, [{ role: 'user', content }]);
  const unknown = [prompt.before, prompt.after].flat().find((id) => id >= vocab);
  if (unknown !== undefined) {
    throw new LoadError({
      code: 'TOKENIZER_INVALID',
      message: `tokenizer.json gives the id ${unknown}; config.json's vocab_size is ${vocab}.`,
      fix: 'Use the tokenizer.json that belongs to this model.',
    });
  }
  return prompt;
}

/**
 * Looking at a picture writes the prompt's beginning and the image into the KV cache: they must fit, with a question.
 *
 * @throws {ArgumentError} `OPTION_INVALID`.
 */
export function checkPrompt(config: ModelConfig, shortest: PromptTokens): void {
  const least = shortest.before.length + visualTokenRange(config).most + shortest.after.length + 1;
  const { context } = config.text;
  if (context >= least) return;
  throw new ArgumentError({
    code: 'OPTION_INVALID',
    message: `context is ${context}; the image and the shortest question and answer take ${least} tokens.`,
    fix: `Pass a context of at least ${least}, or leave it out for the default.`,
  });
}
