import { ArgumentError, LoadError } from '../errors/index.ts';
import type { ModelConfig } from '../models/config.ts';
import { visualTokenRange } from '../models/visual.ts';
import {
  assemblePrompt,
  renderEscaped,
  type ChatMessage,
  type ChatTemplate,
  type ContentPart,
  type PromptTokens,
} from '../text/chat.ts';
import type { Tokenizer } from '../text/tokenizer.ts';

/** No tokenizer packs more characters into a token: the longest tokens there are, of Qwen2, hold 128 spaces. */
const MOST_CHARACTERS = 256;

/** Stands for an answer in a rendered conversation: a code point that Unicode reserves for a program's own use. */
const ANSWER = '\uFDD1';

export interface PromptParts {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
}

/** A question, or a conversation whose last turn asks. */
export type Prompt = string | readonly ChatMessage[];

/**
 * The tokens of a question on a picture, or of a conversation about it: the image stands in the first question unless another
 * part of the conversation has it.
 *
 * @param said the tokens behind the image of an earlier prompt and its answer, which the conversation's turns before the last
 *   repeat: they are taken as they were, not encoded from the turns' text.
 * @throws {ArgumentError} `PROMPT_TOO_LONG` for a text that needs no counting; `PROMPT_EMPTY`; `OPTION_INVALID` for a
 *   conversation that is none, or that the model's template refuses.
 * @throws {LoadError} `TOKENIZER_INVALID` when the tokenizer gives ids that the model has no embedding for.
 */
export function promptOf(parts: PromptParts, prompt: Prompt, said?: readonly number[] | null): PromptTokens {
  const { context, vocab } = parts.config.text;
  const messages = messagesOf(prompt);
  const length = messages.reduce((sum, message) => sum + charactersOf(message), 0);
  // Millions of characters would keep the thread busy for seconds, only to be refused.
  if (length > context * MOST_CHARACTERS) {
    throw new ArgumentError({
      code: 'PROMPT_TOO_LONG',
      message: `The question has ${length} characters; the model's context is ${context} tokens.`,
      fix: 'Shorten the question.',
    });
  }
  const tokens = assemble(parts, messages);
  const next = said ? behindAnswer(parts, messages) : null;
  const after = said && next ? [...said, ...next] : tokens.after;
  const unknown = [tokens.before, after].flat().find((id) => id >= vocab);
  if (unknown !== undefined) {
    throw new LoadError({
      code: 'TOKENIZER_INVALID',
      message: `tokenizer.json gives the id ${unknown}; config.json's vocab_size is ${vocab}.`,
      fix: 'Use the tokenizer.json that belongs to this model.',
    });
  }
  return { ...tokens, after };
}

function assemble({ tokenizer, template }: PromptParts, conversation: readonly ChatMessage[]): PromptTokens {
  try {
    return assemblePrompt(tokenizer, template, conversation);
  } catch (cause) {
    // Of a single question the template was tried when the model was loaded: it is the conversation that it refuses.
    if (conversation.length === 1 || !(cause instanceof LoadError)) throw cause;
    throw invalid(`The model's chat template refuses the conversation: ${reasonOf(cause)}`, cause);
  }
}

/**
 * The tokens from the end of the last answer to where the next one begins; `null` where that can't be told apart in what the
 * template makes of the conversation.
 */
function behindAnswer(
  { tokenizer, template }: PromptParts,
  messages: readonly ChatMessage[],
): number[] | null {
  const at = messages.findLastIndex(({ role }) => role === 'assistant');
  if (at < 0) return null;
  const marked = messages.map((message, i) => (i === at ? { ...message, content: ANSWER } : message));
  const sides = renderEscaped(tokenizer, template, marked).split(ANSWER);
  if (sides.length !== 2 || sides[1].includes(template.imageText)) return null;
  // What a text is encoded to depends on whether something is before it.
  const head = tokenizer.encode('.');
  const ids = tokenizer.encode(`.${sides[1]}`);
  return head.every((id, i) => ids[i] === id) ? ids.slice(head.length) : tokenizer.encode(sides[1]);
}

/** The conversation with the image in it. */
function messagesOf(prompt: Prompt): readonly ChatMessage[] {
  if (typeof prompt === 'string') {
    return [{ role: 'user', content: [{ type: 'image' }, { type: 'text', text: prompt }] }];
  }
  const problem = conversationProblem(prompt);
  if (problem) throw invalid(problem);
  const placed = prompt.some(
    ({ content }) => typeof content !== 'string' && content.some(({ type }) => type === 'image'),
  );
  if (placed) return prompt;
  const first = prompt.findIndex(({ role }) => role === 'user');
  return prompt.map((message, i) => {
    if (i !== first) return message;
    const { content } = message;
    const words: readonly ContentPart[] =
      typeof content === 'string' ? [{ type: 'text', text: content }] : content;
    return { ...message, content: [{ type: 'image' }, ...words] };
  });
}

const ROLES: readonly unknown[] = ['system', 'user', 'assistant'] satisfies ChatMessage['role'][];

/** What is wrong with what was given as a conversation, for people. */
function conversationProblem(messages: unknown): string | null {
  if (!Array.isArray(messages)) {
    return `The question is ${messages === null ? 'null' : typeof messages}; it must be a text or a conversation.`;
  }
  for (const [i, message] of (messages as readonly unknown[]).entries()) {
    const { role, content } = (message ?? {}) as { role?: unknown; content?: unknown };
    if (!ROLES.includes(role)) return `Message ${i} has no role of system, user or assistant.`;
    if (typeof content === 'string') continue;
    const parts: unknown = content;
    if (!Array.isArray(parts) || !parts.every(isPart)) {
      return `The content of message ${i} must be a text, or parts of the types "text" and "image".`;
    }
  }
  const last = (messages as readonly ChatMessage[]).at(-1);
  return last?.role === 'user' ? null : 'The last message of a conversation must be of the role user.';
}

function isPart(part: unknown): part is ContentPart {
  const { type, text } = (part ?? {}) as { type?: unknown; text?: unknown };
  return type === 'image' || ((type === 'text' || type === 'special') && typeof text === 'string');
}

function charactersOf({ content }: ChatMessage): number {
  if (typeof content === 'string') return content.length;
  return content.reduce((sum, part) => sum + (part.type === 'image' ? 0 : part.text.length), 0);
}

function reasonOf(error: LoadError): string {
  return error.cause instanceof Error ? error.cause.message : error.message;
}

function invalid(message: string, cause?: unknown): ArgumentError {
  return new ArgumentError({
    code: 'OPTION_INVALID',
    message,
    fix: 'Pass a text, or { role, content } messages: perhaps one of system, then user and assistant in turn, and user last.',
    cause,
  });
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
