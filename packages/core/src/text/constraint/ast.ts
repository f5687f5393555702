import { ArgumentError } from '../../errors/index.ts';
import type { Ranges } from './ranges.ts';

/** What a text may be; the common form of regular expressions, JSON schemas and choices. */
export type Node =
  /** One code point of these; none at all where they are empty. */
  | { readonly type: 'class'; readonly ranges: Ranges }
  /** One token that writes nothing, as InternVL's `<box>`. Never part of what a user asks for. */
  | { readonly type: 'token'; readonly id: number }
  | { readonly type: 'sequence'; readonly parts: readonly Node[] }
  | { readonly type: 'choice'; readonly options: readonly Node[] }
  | { readonly type: 'repeat'; readonly node: Node; readonly min: number; readonly max: number }
  /** Some of the items in their order, with the separator between them: all that are not optional. */
  | { readonly type: 'members'; readonly items: readonly Member[]; readonly separator: Node };

export interface Member {
  readonly node: Node;
  readonly optional: boolean;
}

export const empty: Node = { type: 'sequence', parts: [] };

export function sequence(...parts: Node[]): Node {
  return parts.length === 1 ? parts[0] : { type: 'sequence', parts };
}

export function choice(options: readonly Node[]): Node {
  return options.length === 1 ? options[0] : { type: 'choice', options };
}

export function repeat(node: Node, min: number, max: number): Node {
  return { type: 'repeat', node, min, max };
}

/** The text itself. @throws {ArgumentError} `FORMAT_INVALID` for half a surrogate pair, which no text can hold. */
export function literal(text: string): Node {
  const parts = Array.from(text, (char): Node => {
    const code = char.codePointAt(0) ?? 0;
    if (code >= 0xd800 && code <= 0xdfff) throw formatError(`${JSON.stringify(text)} holds half a character`);
    return { type: 'class', ranges: [code, code] };
  });
  return sequence(...parts);
}

/** The error for a format that can't be used. */
export function formatError(
  what: string,
  fix = 'Correct the format; the README lists what it may hold.',
): ArgumentError {
  return new ArgumentError({ code: 'FORMAT_INVALID', message: `The format can't be used: ${what}.`, fix });
}
