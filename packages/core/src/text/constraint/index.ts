import type { Tokenizer } from '../tokenizer.ts';
import { choice, formatError, literal, type Node } from './ast.ts';
import { boxesAmongWords } from './boxes.ts';
import { createConstraint, type Constraint } from './constraint.ts';
import { Effort } from './effort.ts';
import type { Format } from './format.ts';
import { parseRegex } from './regex.ts';
import { parseSchema } from './schema.ts';
import { createVocabulary, type Vocabulary } from './vocabulary.ts';

export type { Constraint, Mask, Walk } from './constraint.ts';
export type { Format } from './format.ts';

/** Formats of which the automata are kept. */
const KEPT = 8;
/** Of a format, as JSON. */
const MOST_CHARACTERS = 1_000_000;

/** Makes constraints for one model, and keeps the last ones: states that one answer visited need not be made for the next. */
export class Constraints {
  readonly #tokenizer: Tokenizer;
  readonly #size: number;
  readonly #eos: readonly number[];
  #vocabulary: Vocabulary | null = null;
  readonly #kept = new Map<string, Constraint>();

  /** @param size how many logits the model gives. */
  constructor(tokenizer: Tokenizer, size: number, eos: readonly number[]) {
    this.#tokenizer = tokenizer;
    this.#size = size;
    this.#eos = eos;
  }

  /** @throws {ArgumentError} `FORMAT_INVALID`. @throws {UnsupportedError} `TOKENIZER_UNSUPPORTED`. */
  of(format: Format): Constraint {
    const key = keyOf(format);
    const constraint = this.#kept.get(key) ?? this.#make(format);
    this.#kept.delete(key);
    this.#kept.set(key, constraint);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT) break;
      this.#kept.delete(oldest);
    }
    return constraint;
  }

  #make(format: Format): Constraint {
    const node = parseFormat(format, this.#tokenizer);
    this.#vocabulary ??= createVocabulary(this.#tokenizer, this.#size);
    return createConstraint(node, this.#vocabulary, this.#eos);
  }
}

function keyOf(format: Format): string {
  let key: string;
  try {
    key = JSON.stringify(format);
  } catch {
    throw formatError('it goes in circles, or too deep');
  }
  if (typeof key === 'string' && key.length > MOST_CHARACTERS)
    throw formatError(`it has more than ${MOST_CHARACTERS} characters`, 'Ask for less in one answer.');
  return key;
}

function parseFormat(format: Format, tokenizer: Tokenizer): Node {
  if (typeof format !== 'object' || format === null)
    throw formatError(`it is ${String(format)}, not an object`);
  const given = Object.keys(format);
  if (given.length !== 1) throw formatError('it has not exactly one of regex, jsonSchema, choices and boxes');
  if ('regex' in format) return parseRegex(format.regex);
  if ('jsonSchema' in format) return parseSchema(format.jsonSchema);
  if ('boxes' in format) return boxesAmongWords(format.boxes, tokenizer);
  const choices: unknown = format.choices;
  if (!Array.isArray(choices) || choices.length === 0 || !choices.every((text) => typeof text === 'string'))
    throw formatError('choices is no list of texts, or an empty one');
  const effort = new Effort();
  effort.spend(choices.reduce((sum, text) => sum + text.length, 0));
  return choice(choices.map(literal));
}
