/** `messages` of a request: what was said, and the one picture that it is about. */
import { invalid, unsupported } from './errors.ts';

export interface Turn {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: readonly (
    { readonly type: 'text'; readonly text: string } | { readonly type: 'image' }
  )[];
}

export interface Conversation {
  readonly turns: readonly Turn[];
  /** As in `image_url.url`. */
  readonly image: string;
}

/** A turn costs some tokens at least: no context has room for more. */
const MAX_TURNS = 2000;

/** @throws {ApiError} 400. */
export function parseMessages(messages: unknown): Conversation {
  if (!Array.isArray(messages) || messages.length === 0) {
    throw invalid('messages', 'messages must be a list of at least one message.');
  }
  if (messages.length > MAX_TURNS) {
    throw invalid('messages', `messages has more than ${MAX_TURNS} turns.`, 'context_length_exceeded');
  }
  let image: string | null = null;
  const turns = messages.map((message: unknown, i): Turn => {
    const at = `messages[${i}]`;
    if (!isObject(message)) throw invalid(at, `${at} must be an object.`);
    const role = roleOf(message.role, at);
    if (isGiven(message.tool_calls) || isGiven(message.function_call)) {
      throw unsupported(`${at}.tool_calls`, 'This server calls no tools.');
    }
    const content = partsOf(message.content, at).flatMap((part, j): Turn['content'] => {
      const place = `${at}.content[${j}]`;
      if (part.type === 'text' || part.type === 'refusal') {
        const text = part[part.type];
        if (typeof text !== 'string') throw invalid(place, `${place} must have a text.`);
        return [{ type: 'text', text }];
      }
      if (part.type !== 'image_url') {
        throw unsupported(
          place,
          `${place} is of a type that this server does not take; text and image_url are.`,
        );
      }
      if (role !== 'user') throw invalid(place, `${place}: pictures belong to messages of the user.`);
      const url = isObject(part.image_url) ? part.image_url.url : part.image_url;
      if (typeof url !== 'string') throw invalid(place, `${place}.image_url.url must be a string.`);
      // Some clients send it again with every question.
      if (image === url) return [];
      if (image !== null) {
        throw invalid(place, 'A conversation has one picture; this one has several.', 'too_many_images');
      }
      image = url;
      return [{ type: 'image' }];
    });
    return { role, content };
  });
  if (image === null) {
    throw invalid(
      'messages',
      'The conversation has no picture. Put one {type: "image_url", image_url: {url}} part into a message of the user.',
      'IMAGE_MISSING',
    );
  }
  if (turns.at(-1)?.role !== 'user') throw invalid('messages', 'The last message must be one of the user.');
  return { turns, image };
}

function roleOf(role: unknown, at: string): Turn['role'] {
  if (role === 'user' || role === 'assistant' || role === 'system') return role;
  if (role === 'developer') return 'system';
  if (role === 'tool' || role === 'function') throw unsupported(`${at}.role`, 'This server calls no tools.');
  throw invalid(`${at}.role`, `${at}.role must be "system", "user" or "assistant".`);
}

function partsOf(content: unknown, at: string): Readonly<Record<string, unknown>>[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (Array.isArray(content) && content.every(isObject)) return content;
  throw invalid(`${at}.content`, `${at}.content must be a text, or a list of parts.`);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Clients write `null` or an empty list for what they leave out. */
export function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0);
}
