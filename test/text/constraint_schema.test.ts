import { describe, expect, test } from 'vitest';
import type { Format } from '../../packages/core/src/text/constraint/index.ts';
import { constraintsOf, processorTime, randomAnswer, vocabularies } from './constraint_walks.ts';
import { random } from './tokenizers.ts';

const seed = 20_250_707;
type Schema = Record<string, unknown>;

/** A random schema, and what says of a value whether it is valid: written beside each other, not one from the other. */
function randomSchema(next: () => number, depth = 0): { schema: Schema; valid: (value: unknown) => boolean } {
  const kinds = [
    'string',
    'integer',
    'number',
    'boolean',
    'null',
    'enum',
    'const',
    'types',
    'range',
    'pattern',
  ];
  if (depth < 3) kinds.push('object', 'object', 'object', 'array', 'array', 'anyOf', 'oneOf');
  const kind = kinds[Math.floor(next() * kinds.length)];
  const inner = () => randomSchema(next, depth + 1);
  const below = (n: number) => Math.floor(next() * n);
  switch (kind) {
    case 'string': {
      const minLength = below(3);
      const maxLength = minLength + below(6);
      const bounded = next() < 0.7;
      return {
        schema: { type: 'string', ...(bounded && { minLength, maxLength }), description: 'words' },
        valid: (v) =>
          typeof v === 'string' && (!bounded || ([...v].length >= minLength && [...v].length <= maxLength)),
      };
    }
    case 'integer':
      return { schema: { type: 'integer' }, valid: Number.isSafeInteger };
    case 'range': {
      const minimum = below(400) - 200;
      const maximum = minimum + below(250);
      const open = next() < 0.3 && maximum > minimum;
      return {
        schema: { type: 'integer', minimum, [open ? 'exclusiveMaximum' : 'maximum']: maximum },
        valid: (v) =>
          Number.isInteger(v) && Number(v) >= minimum && (open ? Number(v) < maximum : Number(v) <= maximum),
      };
    }
    case 'number':
      return { schema: { type: 'number' }, valid: Number.isFinite };
    case 'boolean':
      return { schema: { type: 'boolean' }, valid: (v) => typeof v === 'boolean' };
    case 'null':
      return { schema: { type: 'null' }, valid: (v) => v === null };
    case 'enum': {
      const values = ['red', 'a "b"', 3, null, true, [1, 'é'], { a: {} }].filter(() => next() < 0.6);
      if (values.length === 0) values.push('only');
      const texts = values.map((v) => JSON.stringify(v));
      return { schema: { enum: values }, valid: (v) => texts.includes(JSON.stringify(v)) };
    }
    case 'const':
      return { schema: { const: 'fixed\n' }, valid: (v) => v === 'fixed\n' };
    case 'types':
      return {
        schema: { type: ['string', 'null'], maxLength: 2 },
        valid: (v) => v === null || (typeof v === 'string' && [...v].length <= 2),
      };
    case 'pattern': {
      const patterns = ['^a+$', 'b', '^[a-c"\\\\]{1,3}', '[\\s\\d]$', '^(?:x|\\n)*$', '^[^a]?$'];
      const pattern = patterns[below(patterns.length)];
      return {
        schema: { type: 'string', pattern },
        valid: (v) => typeof v === 'string' && new RegExp(pattern, 'u').test(v),
      };
    }
    case 'object': {
      const keys = ['a', 'b "q"', 'long name', 'é'].slice(0, below(5));
      const parts = keys.map(() => inner());
      const required = keys.filter(() => next() < 0.5);
      const properties = Object.fromEntries(keys.map((key, i) => [key, parts[i].schema]));
      return {
        schema: { type: 'object', properties, required, additionalProperties: false },
        valid: (v) =>
          typeof v === 'object' &&
          v !== null &&
          !Array.isArray(v) &&
          required.every((key) => Object.hasOwn(v, key)) &&
          Object.entries(v).every(
            ([key, value]) => keys.includes(key) && parts[keys.indexOf(key)].valid(value),
          ),
      };
    }
    case 'array': {
      const item = inner();
      const minItems = below(3);
      const maxItems = minItems + below(3);
      const bounded = next() < 0.7;
      return {
        schema: { type: 'array', items: item.schema, ...(bounded && { minItems, maxItems }) },
        valid: (v) =>
          Array.isArray(v) &&
          v.every(item.valid) &&
          (!bounded || (v.length >= minItems && v.length <= maxItems)),
      };
    }
    case 'oneOf':
      return {
        schema: { oneOf: [{ type: 'integer' }, { type: 'string', minLength: 1 }, { const: '' }] },
        valid: (v) => Number.isInteger(v) || typeof v === 'string',
      };
    default: {
      const [a, b] = [inner(), inner()];
      return { schema: { anyOf: [a.schema, b.schema] }, valid: (v) => a.valid(v) || b.valid(v) };
    }
  }
}

describe.each(vocabularies.slice(0, 3))('answers of random models: $kind', (vocabulary) => {
  test(`all whole ones parse and are valid (seed ${seed})`, () => {
    const next = random(seed);
    const constraints = constraintsOf(vocabulary);
    let whole = 0;
    for (let round = 0; round < 120; round++) {
      const { schema, valid } = randomSchema(next);
      const format: Format = { jsonSchema: schema };
      try {
        constraints.of(format);
      } catch (error) {
        // A vocabulary without bytes has no "\\" and few capitals.
        expect(vocabulary.kind, JSON.stringify(schema)).toBe('metaspace');
        expect(String(error)).toContain("can't spell");
        continue;
      }
      for (let i = 0; i < 3; i++) {
        const answer = randomAnswer(constraints, vocabulary, format, next, { most: 300 });
        if (!answer.whole) continue;
        whole++;
        const value: unknown = JSON.parse(answer.text);
        expect(valid(value), `${JSON.stringify(schema)} gave ${answer.text}`).toBe(true);
      }
    }
    expect(whole).toBeGreaterThan(vocabulary.kind === 'metaspace' ? 20 : 200);
  });
});

const accepts = (jsonSchema: object, text: string): boolean => {
  const vocabulary = vocabularies[0];
  const walk = constraintsOf(vocabulary).of({ jsonSchema }).walk();
  for (const id of vocabulary.tokenizer.encode(text)) {
    const mask = walk.allowed();
    if (((mask[id >> 5] >>> (id & 31)) & 1) === 0) return false;
    walk.take(id);
  }
  const mask = walk.allowed();
  return ((mask[vocabulary.eos >> 5] >>> (vocabulary.eos & 31)) & 1) === 1;
};

test('all of the integers between two bounds, and no other', () => {
  const next = random(seed);
  for (let round = 0; round < 20; round++) {
    const minimum = Math.floor(next() * 2200) - 1100;
    const maximum = minimum + Math.floor(next() * 1500);
    const schema = { type: 'integer', minimum, maximum };
    for (const value of [
      minimum - 1,
      minimum,
      minimum + 1,
      maximum - 1,
      maximum,
      maximum + 1,
      0,
      9,
      10,
      99,
      100,
      999,
      1000,
      -1,
      -10,
    ]) {
      expect(accepts(schema, String(value)), `${value} of ${minimum}..${maximum}`).toBe(
        value >= minimum && value <= maximum,
      );
    }
  }
  expect(accepts({ type: 'integer' }, '-0')).toBe(false);
  expect(accepts({ type: 'integer' }, '007')).toBe(false);
});

test('as models write it: with spaces behind colons and commas, or without', () => {
  const schema = {
    type: 'object',
    properties: { name: { $ref: '#/$defs/name' }, boxes: { type: 'array', items: { type: 'number' } } },
    required: ['name', 'boxes'],
    $defs: { name: { type: 'string' } },
  };
  for (const text of [
    '{"name": "a", "boxes": [0.5, 1]}',
    '{"name":"a","boxes":[]}',
    '{ "name": "\\"é中", "boxes": [ -1e-3 ] }',
  ])
    expect(accepts(schema, text), text).toBe(true);
  for (const text of [
    '{"boxes":[],"name":"a"}',
    '{"name":"a"}',
    '{"name":"a","boxes":[01]}',
    '{"name":"\n","boxes":[]}',
    '{"name":"a","boxes":[],}',
  ])
    expect(accepts(schema, text), text).toBe(false);
});

test.each<[object, string]>([
  [{ type: 'string', format: 'date' }, '"format" is not supported at #'],
  [
    { type: 'object', properties: { a: { type: 'array', items: { type: 'string' }, uniqueItems: true } } },
    '"uniqueItems" is not supported at #/properties/a',
  ],
  [{ type: 'number', minimum: 1 }, '"minimum" is not supported'],
  [{ type: 'string', minLength: 2, pattern: 'a' }, '"pattern" together with'],
  [{ type: 'string', pattern: '(?=a)' }, 'lookaround'],
  [{ type: 'string', pattern: '^a|b$' }, 'one of its alternatives'],
  [{ type: 'object' }, 'without "properties"'],
  [{ type: 'object', properties: {}, required: ['a'] }, '"required" names "a"'],
  [{ type: 'array' }, 'allows any value'],
  [{}, '"type" is missing'],
  [{ type: 'strin' }, 'the type "strin" is not known'],
  [
    { $ref: '#/$defs/a', $defs: { a: { type: 'array', items: { $ref: '#/$defs/a' } } } },
    'comes back to itself',
  ],
  [{ $ref: 'https://example.org/a' }, 'not within the schema'],
  [{ $ref: '#/$defs/b' }, 'which is not there'],
  [{ $ref: '#/constructor' }, 'which is not there'],
  [{ $ref: '#/%' }, 'which is no address'],
  [{ type: ['null', 'null'] }, 'the type ["null","null"] is not known'],
  [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, 'values in common'],
  [{ anyOf: [{ type: 'null' }], type: 'null' }, '"type" is not supported'],
  [{ allOf: [{ type: 'null' }, { type: 'null' }] }, '"allOf" of more than one'],
  [{ enum: ['a'], type: 'integer' }, 'no value is allowed'],
  [{ type: 'integer', minimum: 3, maximum: 2 }, 'no integer within'],
  [{ type: 'string', minLength: -1 }, 'are no bounds'],
  [{ not: { type: 'null' } }, '"type" is missing'],
])('%j is refused, naming what and where', (jsonSchema, message) => {
  expect(() => constraintsOf(vocabularies[0]).of({ jsonSchema })).toThrow(
    expect.objectContaining({ code: 'FORMAT_INVALID', message: expect.stringContaining(message) as string }),
  );
});

test.each<unknown>([
  null,
  'a',
  {},
  { regex: 1 },
  { choices: [] },
  { choices: [1] },
  { regex: 'a', choices: ['a'] },
  { jsonSchema: 3 },
  { pattern: 'a' },
])('a format that is none: %j', (format) => {
  expect(() => constraintsOf(vocabularies[0]).of(format as Format)).toThrow(
    expect.objectContaining({ code: 'FORMAT_INVALID' }),
  );
});

test('hostile schemas are refused soon', () => {
  const start = processorTime();
  const doubled: Record<string, object> = { d0: { type: 'null' } };
  for (let i = 1; i < 60; i++) {
    const inner = { $ref: `#/$defs/d${i - 1}` };
    doubled[`d${i}`] = { type: 'object', properties: { a: inner, b: inner } };
  }
  let deep: unknown = 1;
  for (let i = 0; i < 100_000; i++) deep = [deep];
  const circular: Record<string, unknown> = { type: 'array' };
  circular.items = circular;
  /** The same part, as often as there may be parts. */
  const often = (part: object) => ({
    $defs: { part },
    anyOf: Array.from({ length: 9000 }, () => ({ $ref: '#/$defs/part' })),
  });
  const keys = Array.from({ length: 9000 }, (_, i) => `k${i}`);
  const hostile: object[] = [
    often({ type: 'string', pattern: 'a'.repeat(19_000) }),
    often({ const: 'x'.repeat(500_000) }),
    often({ type: 'object', properties: { a: { type: 'null' } }, required: Array(100_000).fill('a') }),
    often({ $ref: `#${'/x'.repeat(200_000)}` }),
    {
      type: 'object',
      properties: Object.fromEntries(keys.map((key) => [key, { type: 'null' }])),
      required: Array(90_000).fill('k8999'),
    },
    { enum: Array(90_000).fill(1), const: 'x'.repeat(700_000) },
    { oneOf: [{ type: 'string', pattern: '^x{50000}$' }, ...keys.map((key) => ({ const: key }))] },
    {
      oneOf: [...'abcdefghijklmnopqrstuvwxyz'].flatMap((a) =>
        [...'0123456789'].map((b) => ({ type: 'string', pattern: `^${a}${b}{4000}$` })),
      ),
    },
    { type: 'string', pattern: '\\p{L}'.repeat(3900) },
    { type: 'string', pattern: '[\\p{L}]'.repeat(2800) },
    { $ref: '#/$defs/d59', $defs: doubled },
    { const: deep },
    circular,
    { type: 'string', minLength: 1e9 },
    { type: 'array', items: { type: 'string', maxLength: 1000 }, maxItems: 1000 },
    {
      oneOf: Array.from({ length: 60 }, (_, i) => ({
        type: 'string',
        pattern: `^(?:a|b)*a(?:a|b){${i + 12}}$`,
      })),
    },
  ];
  for (const jsonSchema of hostile) {
    expect(() => constraintsOf(vocabularies[0]).of({ jsonSchema })).toThrow(
      expect.objectContaining({ code: 'FORMAT_INVALID' }),
    );
  }
  expect(processorTime() - start).toBeLessThan(15_000);
});
