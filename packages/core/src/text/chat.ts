import { Template } from '@huggingface/jinja';
import { ArgumentError } from '../errors/index.ts';
import { tokenizerError } from './tokenizer.ts';
import type { Tokenizer } from './tokenizer.ts';

/** A text, or the place of the picture. */
export type ContentPart =
  | {
      /** Of a text. */
      readonly type: 'text';
      /** As a user or the model says it. */
      readonly text: string;
    }
  | {
      /** Of the picture: it stands here. */
      readonly type: 'image';
    }
  | {
      /** Of a special token. */
      readonly type: 'special';
      /** The token, as InternVL's `<ref>`; plain text where the model has no such special token. What texts spell is never one. */
      readonly text: string;
    };

/** One turn. Exactly one part of the whole conversation is the image. */
export interface ChatMessage {
  /** Who says it. */
  readonly role: 'system' | 'user' | 'assistant';
  /** A text, or parts: texts, and the place of the picture. */
  readonly content: string | readonly ContentPart[];
}

/** The ids around the place of the image. */
export interface PromptTokens {
  /** Up to the image, with the beginning-of-sequence token where the tokenizer has one. */
  readonly before: number[];
  /** From behind the image to the point where the answer begins. */
  readonly after: number[];
  /** The rendered prompt, with the image's token as its text; for people. */
  readonly text: string;
}

/** A model's chat template, parsed once. */
export interface ChatTemplate {
  /**
   * The conversation as text, up to the point where the model answers (`addGenerationPrompt`, true by default).
   *
   * @throws {LoadError} `TOKENIZER_INVALID` when the template fails.
   */
  render(messages: readonly ChatMessage[], options?: { addGenerationPrompt?: boolean }): string;
  /** The text that stands for the image. */
  readonly imageText: string;
}

/**
 * Reads `chat_template` of `tokenizer_config.json` (text, or a list of named ones of which "default" is taken), a Jinja
 * template as Hugging Face defines it. `imageToken` is the id of the token that stands for the image. Templates that take
 * the parts of a message (`{type: 'image'}`, `{type: 'text', text}`) and those that take only strings both work: the
 * latter get the image's token and a line break in front of the text, as LLaVA writes it.
 *
 * @throws {LoadError} `TOKENIZER_INVALID` when there is no usable template, or it does not place the image.
 */
export function createChatTemplate(
  tokenizerConfig: unknown,
  tokenizer: Tokenizer,
  imageToken: number,
): ChatTemplate {
  const imageText = tokenizer.token(imageToken);
  if (!imageText) throw tokenizerError(`the image token's id ${imageToken} is not in the vocabulary`);
  const template = parseTemplate(findTemplate(tokenizerConfig));

  const renderWith = (messages: readonly object[], addGenerationPrompt: boolean): string => {
    try {
      return template.render({ ...tokenizer.named, messages, add_generation_prompt: addGenerationPrompt });
    } catch (cause) {
      throw tokenizerError('its chat template fails', cause);
    }
  };
  const rendersOnce = (content: object | string): boolean =>
    probe(() => renderWith([{ role: 'user', content }], true), typeof content === 'string' ? '' : imageText);
  const takesParts = rendersOnce([{ type: 'image' }, { type: 'text', text: probeText }]);
  const takesStrings = rendersOnce(probeText);
  const contentOf = (content: ChatMessage['content']): ChatMessage['content'] => {
    if (!takesParts) return toText(content, imageText);
    return takesStrings ? content : toParts(content);
  };
  return {
    imageText,
    render(messages, { addGenerationPrompt = true } = {}) {
      const plain = messages.map(({ role, content }) => ({ role, content: contentOf(mergeText(content)) }));
      return renderWith(plain, addGenerationPrompt);
    },
  };
}

/**
 * The tokens of a conversation with one image (specification section 5): rendered, cut at the image's token, and both sides
 * tokenised apart. Nothing that the messages contain can become a special token: `</s>` or a second `<image>` in a
 * question is plain text to the model.
 *
 * @throws {ArgumentError} `PROMPT_EMPTY` when the last message has no text; `IMAGE_MISSING` or `OPTION_INVALID` when
 *   there is no image or more than one.
 * @throws {LoadError} `TOKENIZER_INVALID` when the template fails or does not place the image once.
 */
export function assemblePrompt(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
): PromptTokens {
  checkMessages(messages);
  const text = renderEscaped(tokenizer, template, messages);
  const sides = text.split(template.imageText);
  if (sides.length !== 2) {
    throw tokenizerError(`its chat template places the image ${sides.length - 1} times instead of once`);
  }
  const before = tokenizer.encode(sides[0]);
  // Some templates write the beginning-of-sequence token themselves: it is not doubled.
  const begun = tokenizer.prefix.every((id, i) => before[i] === id);
  return {
    before: begun ? before : [...tokenizer.prefix, ...before],
    after: tokenizer.encode(sides[1]),
    text: tokenizer.unescape(text),
  };
}

/**
 * A conversation as text whose messages `encode` takes as plain characters.
 *
 * @throws {LoadError} `TOKENIZER_INVALID` when the template fails.
 */
export function renderEscaped(
  tokenizer: Tokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
): string {
  return template.render(
    messages.map(({ role, content }) => ({
      role,
      content: escapeContent(tokenizer, template.imageText, content),
    })),
  );
}

function checkMessages(messages: readonly ChatMessage[]): void {
  const last = messages.at(-1);
  const words = last === undefined ? '' : toText(last.content, '');
  if (words.trim() === '') {
    throw new ArgumentError({
      code: 'PROMPT_EMPTY',
      message: 'The question is empty.',
      fix: 'Pass some text beside the image, as "Describe the image."',
    });
  }
  const images = messages.flatMap(({ content }) =>
    typeof content === 'string' ? [] : content.filter(({ type }) => type === 'image'),
  ).length;
  if (images === 1) return;
  throw new ArgumentError({
    code: images === 0 ? 'IMAGE_MISSING' : 'OPTION_INVALID',
    message: `A conversation has exactly one image; this one has ${images}.`,
    fix: 'Put one {type: "image"} part into the first question.',
  });
}

function escapeContent(
  tokenizer: Tokenizer,
  imageText: string,
  content: ChatMessage['content'],
): ChatMessage['content'] {
  if (typeof content === 'string') return tokenizer.escape(content);
  // Joined before they are escaped: two harmless parts may spell a special token together.
  const parts = mergeText(content) as readonly ContentPart[];
  return parts.map((part) => {
    if (part.type === 'image') return part;
    const id = part.type === 'special' ? tokenizer.id(part.text) : undefined;
    const special = id !== undefined && tokenizer.isSpecial(id) && part.text !== imageText;
    return { type: 'text', text: special ? part.text : tokenizer.escape(part.text) };
  });
}

function mergeText(content: ChatMessage['content']): ChatMessage['content'] {
  if (typeof content === 'string') return content;
  const merged: ContentPart[] = [];
  for (const part of content) {
    const last = merged.at(-1);
    if (part.type === 'text' && last?.type === 'text') {
      merged[merged.length - 1] = { type: 'text', text: last.text + part.text };
    } else merged.push(part);
  }
  return merged;
}

function toParts(content: ChatMessage['content']): readonly ContentPart[] {
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}

function toText(content: ChatMessage['content'], imageText: string): string {
  if (typeof content === 'string') return content;
  const image = imageText !== '' && content.some(({ type }) => type === 'image') ? `${imageText}\n` : '';
  return image + content.map((part) => (part.type === 'text' ? part.text : '')).join('');
}

const probeText = 'some words';

/** Whether the template writes the image's token (where there is one) and the text of a message, both once. */
function probe(render: () => string, imageText: string): boolean {
  try {
    const rendered = render();
    const images = imageText === '' ? 1 : rendered.split(imageText).length - 1;
    return images === 1 && rendered.split(probeText).length === 2;
  } catch {
    return false;
  }
}

function findTemplate(tokenizerConfig: unknown): unknown {
  const config = tokenizerConfig as { chat_template?: unknown } | null | undefined;
  const template = config?.chat_template;
  if (!Array.isArray(template)) return template;
  const named = template.find((item: { name?: unknown } | null) => item?.name === 'default') as unknown;
  return (named as { template?: unknown } | undefined)?.template;
}

function parseTemplate(source: unknown): Template {
  if (typeof source !== 'string' || source === '') {
    throw tokenizerError('tokenizer_config.json has no "chat_template"');
  }
  try {
    return new Template(source);
  } catch (cause) {
    throw tokenizerError('its chat template is not valid Jinja', cause);
  }
}
