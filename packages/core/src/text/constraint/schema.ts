import { choice, empty, formatError, literal, repeat, sequence, type Member, type Node } from './ast.ts';
import { Effort } from './effort.ts';
import { overlap } from './overlap.ts';
import { intersect, negate, union, type Ranges } from './ranges.ts';
import { parse, parseRegex } from './regex.ts';

type Schema = Readonly<Record<string, unknown>>;

/** Keywords that say nothing of what is valid, or are read where they are referred to. */
const notes =
  '$schema $id $comment $defs definitions title description default examples deprecated readOnly writeOnly';
const known: Readonly<Record<string, string>> = {
  object: 'properties required additionalProperties',
  array: 'items minItems maxItems',
  string: 'minLength maxLength pattern',
  integer: 'minimum maximum exclusiveMinimum exclusiveMaximum',
  number: '',
  boolean: '',
  null: '',
};
const MOST_DEPTH = 100;
/** Parts read, those behind a "$ref" as often as it is followed. */
const MOST_PARTS = 10_000;
/** Of the search for what options of "oneOf" have in common: states of automata, and characters that lead on from them. */
const MOST_WORK = 250_000;
/** Numbers of more digits do not come back from `JSON.parse` as they are. */
const LARGEST = 999_999_999_999_999;

const space = repeat(literal(' '), 0, 1);
const comma = sequence(literal(','), space);
const digit: Node = { type: 'class', ranges: [48, 57] };
const number = parseRegex(String.raw`-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?`);

/** What a string holds as it is: not quotes, backslashes and control characters. */
const plain = intersect(negate([0, 0x1f, 0x22, 0x22, 0x5c, 0x5c, 0x7f, 0x7f]), [0, 0xd7ff, 0xe000, 0x10ffff]);
const escapes: Readonly<Record<string, number>> = {
  '"': 34,
  '\\': 92,
  '/': 47,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
};
/** What is written by its number alone. */
const controls = intersect(
  [0, 0x1f, 0x7f, 0x7f],
  negate(union(...Object.values(escapes).map((code) => [code, code]))),
);
/** One character of a string, in any spelling but half a surrogate pair. */
const character = choice([
  { type: 'class', ranges: plain },
  parseRegex(String.raw`\\(?:["\\/bfnrt]|u(?:[0-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))`),
]);

/**
 * The JSON texts that a schema allows, with no or one space where JSON may have white space.
 *
 * Known: `type` (one or a list), `enum`, `const`, `properties` (in their order; others are never written), `required`, `items`,
 * `minItems`, `maxItems`, `minLength`, `maxLength`, `pattern` (alone), bounds of integers, `anyOf`, `oneOf` (whose options have no
 * value in common), `allOf` of one, and `$ref` within the schema that does not come back to itself. Integers have up to 15 digits,
 * numbers 15 before the point and after it, and an exponent of two.
 *
 * @throws {ArgumentError} `FORMAT_INVALID` naming what is not known, and where.
 */
export function parseSchema(root: unknown): Node {
  const following: string[] = [];
  const effort = new Effort();
  const work = { left: MOST_WORK };
  let parts = 0;

  const fail = (where: string, what: string): never => {
    throw formatError(`${what} at ${where.slice(0, 200)} of the JSON schema`);
  };

  const read = (value: unknown, where: string, depth: number): Node => {
    if (depth > MOST_DEPTH) fail(where, 'parts are too deep inside one another');
    if (++parts > MOST_PARTS) fail(where, 'too many parts');
    if (!isObject(value)) return fail(where, 'a schema that allows any value is not supported');
    const schema = value;
    const only = (...keywords: string[]): void => {
      const allowed = [notes, ...keywords].join(' ').split(' ');
      const other = Object.keys(schema).find((key) => !allowed.includes(key) && schema[key] !== undefined);
      if (other !== undefined) fail(where, `"${other}" is not supported`);
    };
    if (typeof schema.$ref === 'string') {
      only('$ref');
      return refer(schema.$ref, where, depth);
    }
    for (const key of ['anyOf', 'oneOf', 'allOf'] as const) {
      if (schema[key] === undefined) continue;
      only(key);
      return combine(key, schema[key], `${where}/${key}`, depth);
    }
    const types = typesOf(schema, where);
    if (schema.enum !== undefined || schema.const !== undefined) {
      only('type', 'enum', 'const');
      return oneOfValues(schema, types, where, effort);
    }
    if (!types) return fail(where, '"type" is missing');
    only('type', ...types.map((type) => known[type]));
    return choice(types.map((type) => ofType(type, schema, where, depth)));
  };

  const refer = (ref: string, where: string, depth: number): Node => {
    effort.spend(ref.length);
    const shown = JSON.stringify(ref.slice(0, 200));
    if (!/^#(?:\/|$)/.test(ref))
      fail(where, `"$ref" to ${shown}, which is not within the schema, is not supported`);
    if (following.includes(ref))
      fail(where, `"$ref" to ${shown} comes back to itself, which is not supported`);
    let target: unknown = root;
    for (const part of ref.split('/').slice(1)) {
      const key = decoded(part)?.replaceAll('~1', '/').replaceAll('~0', '~');
      if (key === undefined) return fail(where, `"$ref" to ${shown}, which is no address,`);
      const inner = typeof target === 'object' && target !== null && Object.hasOwn(target, key);
      target = inner ? (target as Schema)[key] : undefined;
    }
    if (target === undefined) fail(where, `"$ref" to ${shown}, which is not there,`);
    following.push(ref);
    const node = read(target, ref, depth + 1);
    following.pop();
    return node;
  };

  const combine = (key: 'anyOf' | 'oneOf' | 'allOf', list: unknown, where: string, depth: number): Node => {
    if (!Array.isArray(list) || list.length === 0) return fail(where, 'no list of schemas is');
    if (key === 'allOf' && list.length > 1) fail(where, '"allOf" of more than one schema is not supported');
    const options = list.map((option, i) => read(option, `${where}/${i}`, depth + 1));
    if (key === 'oneOf') {
      if (overlap(options, work)) fail(where, 'options of "oneOf" have values in common (write "anyOf")');
    }
    return choice(options);
  };

  const ofType = (type: string, schema: Schema, where: string, depth: number): Node => {
    switch (type) {
      case 'object':
        return objectOf(schema, where, depth);
      case 'array': {
        const [least, most] = bounds(schema, 'minItems', 'maxItems', where);
        if (most === 0) return sequence(literal('['), space, literal(']'));
        const item = read(schema.items, `${where}/items`, depth + 1);
        const more = repeat(sequence(comma, item), Math.max(least - 1, 0), most - 1);
        const filled = sequence(item, more, space);
        return sequence(literal('['), space, least === 0 ? repeat(filled, 0, 1) : filled, literal(']'));
      }
      case 'string':
        return stringOf(schema, where);
      case 'integer':
        return integerOf(schema, where);
      case 'number':
        return number;
      case 'boolean':
        return choice([literal('true'), literal('false')]);
      default:
        return literal('null');
    }
  };

  const objectOf = (schema: Schema, where: string, depth: number): Node => {
    const { properties, required = [] } = schema;
    if (!isObject(properties)) return fail(where, 'an object without "properties" is not supported');
    if (!Array.isArray(required)) return fail(where, '"required" that is no list');
    effort.spend(required.length);
    const needed = new Set<unknown>(required);
    const unknown: unknown = required.find(
      (key) => typeof key !== 'string' || !Object.hasOwn(properties, key),
    );
    if (unknown !== undefined)
      fail(where, `"required" names ${JSON.stringify(unknown)}, which is no property,`);
    const items = Object.entries(properties).map(([key, value]): Member => {
      effort.spend(key.length);
      const inner = read(value, `${where}/properties/${key}`, depth + 1);
      return {
        node: sequence(literal(JSON.stringify(key)), literal(':'), space, inner),
        optional: !needed.has(key),
      };
    });
    const members: Node = { type: 'members', items, separator: comma };
    return sequence(literal('{'), space, members, items.length > 0 ? space : empty, literal('}'));
  };

  const stringOf = (schema: Schema, where: string): Node => {
    const { pattern } = schema;
    const [least, most] = bounds(schema, 'minLength', 'maxLength', where);
    if (pattern === undefined) return quoted(repeat(character, least, most));
    if (typeof pattern !== 'string') return fail(where, '"pattern" that is no string');
    if (schema.minLength !== undefined || schema.maxLength !== undefined)
      fail(where, '"pattern" together with "minLength" or "maxLength" is not supported');
    const { node, fromStart, toEnd } = parse(pattern, effort);
    if ((fromStart || toEnd) && node.type === 'choice')
      fail(where, '"pattern" with "^" or "$" in one of its alternatives (put them into a group)');
    const any = repeat(character, 0, Infinity);
    return quoted(sequence(fromStart ? empty : any, escaped(node), toEnd ? empty : any));
  };

  const integerOf = (schema: Schema, where: string): Node => {
    const bound = (key: string, exclusive: string, step: 1 | -1): number => {
      const plainBound = finite(schema, key, where) ?? -step * LARGEST;
      const open = finite(schema, exclusive, where);
      const inner = step > 0 ? Math.ceil(plainBound) : Math.floor(plainBound);
      if (open === undefined) return inner;
      const next = step > 0 ? Math.floor(open) + 1 : Math.ceil(open) - 1;
      return step > 0 ? Math.max(inner, next) : Math.min(inner, next);
    };
    const low = Math.max(bound('minimum', 'exclusiveMinimum', 1), -LARGEST);
    const high = Math.min(bound('maximum', 'exclusiveMaximum', -1), LARGEST);
    if (low > high) fail(where, 'no integer within the bounds');
    const options: Node[] = [];
    if (low < 0) options.push(sequence(literal('-'), between(Math.max(-high, 1), -low)));
    if (high >= 0) options.push(between(Math.max(low, 0), high));
    return choice(options);
  };

  return read(root, '#', 0);
}

/** Whole numbers from `low` to `high`, both at least 0, without leading zeros. */
function between(low: number, high: number): Node {
  const options: Node[] = [];
  for (let from = low; from <= high;) {
    // As many last digits as are free to be any, from here on.
    let size = 1;
    while (from > 0 && from % (10 * size) === 0 && from + 10 * size - 1 <= high) size *= 10;
    const head = Math.floor(from / size);
    // The last digit before them may take some values in turn.
    const times = Math.min(9 - (head % 10), Math.floor((high + 1 - from) / size) - 1);
    const text = String(head);
    const last = text.charCodeAt(text.length - 1);
    options.push(
      sequence(
        literal(text.slice(0, -1)),
        { type: 'class', ranges: [last, last + times] },
        repeat(digit, String(size).length - 1, String(size).length - 1),
      ),
    );
    from += (times + 1) * size;
  }
  return choice(options);
}

/** The same texts as a string of JSON writes them. */
function escaped(node: Node): Node {
  switch (node.type) {
    case 'class': {
      const [first, last] = node.ranges;
      if (node.ranges.length === 2 && first === last && holds(plain, first)) return node;
      const options: Node[] = [{ type: 'class', ranges: intersect(node.ranges, plain) }];
      for (const [char, code] of Object.entries(escapes)) {
        // A slash is written as it is.
        if (code !== 47 && holds(node.ranges, code)) options.push(literal(`\\${char}`));
      }
      const others = intersect(node.ranges, controls);
      for (let i = 0; i < others.length; i += 2) {
        for (let code = others[i]; code <= others[i + 1]; code++)
          options.push(literal(`\\u${code.toString(16).padStart(4, '0')}`));
      }
      return choice(options);
    }
    case 'sequence':
      return sequence(...node.parts.map(escaped));
    case 'choice':
      return choice(node.options.map(escaped));
    case 'repeat':
      return repeat(escaped(node.node), node.min, node.max);
    default:
      throw new Error(`a regular expression has no ${node.type}`);
  }
}

function holds(ranges: Ranges, code: number): boolean {
  let i = 0;
  while (i < ranges.length && ranges[i + 1] < code) i += 2;
  return i < ranges.length && ranges[i] <= code;
}

function quoted(content: Node): Node {
  return sequence(literal('"'), content, literal('"'));
}

function typesOf(schema: Schema, where: string): string[] | null {
  const { type } = schema;
  if (type === undefined) return null;
  const types: unknown[] = Array.isArray(type) ? type : [type];
  const valid = types.filter(
    (name): name is string => typeof name === 'string' && Object.hasOwn(known, name),
  );
  const unlike = new Set(valid).size;
  if (unlike === types.length && types.length > 0) return valid;
  throw formatError(
    `the type ${JSON.stringify(type).slice(0, 200)} is not known at ${where} of the JSON schema`,
  );
}

function oneOfValues(schema: Schema, types: readonly string[] | null, where: string, effort: Effort): Node {
  const { enum: list } = schema;
  if (list !== undefined && !Array.isArray(list))
    throw formatError(`"enum" that is no list at ${where} of the JSON schema`);
  let values: unknown[] = list ?? [schema.const];
  effort.spend(JSON.stringify(values).length);
  if (list && schema.const !== undefined) {
    const only = JSON.stringify(schema.const);
    values = values.filter((value) => JSON.stringify(value) === only);
  }
  if (types) values = values.filter((value) => types.some((type) => isType(value, type)));
  if (values.length === 0) throw formatError(`no value is allowed at ${where} of the JSON schema`);
  return choice(values.map((value) => valueOf(value, 0)));
}

function isType(value: unknown, type: string): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isObject(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

/** A value as JSON writes it. */
function valueOf(value: unknown, depth: number): Node {
  if (depth > MOST_DEPTH) throw formatError('a value has parts too deep inside one another');
  if (Array.isArray(value)) {
    return listOf(
      '[',
      value.map((inner) => valueOf(inner, depth + 1)),
      ']',
    );
  }
  if (isObject(value)) {
    const entries = Object.entries(value).map(([key, inner]) =>
      sequence(literal(`${JSON.stringify(key)}:`), space, valueOf(inner, depth + 1)),
    );
    return listOf('{', entries, '}');
  }
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw formatError(`a value that is ${typeof value} is no JSON`);
  return literal(text);
}

function listOf(open: string, parts: readonly Node[], close: string): Node {
  const inner = parts.flatMap((part, i) => (i > 0 ? [comma, part] : [part]));
  return sequence(literal(open), space, ...inner, parts.length > 0 ? space : empty, literal(close));
}

function bounds(schema: Schema, least: string, most: string, where: string): [number, number] {
  const [low, high] = [finite(schema, least, where) ?? 0, finite(schema, most, where) ?? Infinity];
  const whole = (value: number) => value === Infinity || (Number.isInteger(value) && value >= 0);
  if (whole(low) && whole(high) && low <= high) return [low, high];
  throw formatError(`"${least}" and "${most}" are no bounds at ${where} of the JSON schema`);
}

function finite(schema: Schema, key: string, where: string): number | undefined {
  const value = schema[key];
  if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
  throw formatError(`"${key}" that is no number at ${where} of the JSON schema`);
}

/** A part of an address as it was before it was put into one; `undefined` where it can't have been. */
function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
