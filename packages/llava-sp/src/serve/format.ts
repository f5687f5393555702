import type { Format } from '@llava-sp/node';
import { isObject } from './conversation.ts';
import { invalid, unsupported } from './errors.ts';

/**
 * `response_format` as a constraint on the answer. The schema itself is checked by the model.
 *
 * @throws {ApiError} 400.
 */
export function formatOf(format: unknown): Format | undefined {
  if (format === undefined || format === null) return undefined;
  if (!isObject(format)) throw invalid('response_format', 'response_format must be an object.');
  switch (format.type) {
    case 'text':
      return undefined;
    case 'json_object':
      return { regex: anyObject() };
    case 'json_schema': {
      const { json_schema: described } = format;
      const schema = isObject(described) ? described.schema : undefined;
      if (!isObject(schema)) {
        throw invalid('response_format', 'response_format.json_schema.schema must be a JSON schema.');
      }
      return { jsonSchema: schema };
    }
    default:
      throw unsupported(
        'response_format',
        'response_format must be of type text, json_object or json_schema.',
      );
  }
}

/** Objects and lists inside one another, below the object itself: what a regular expression says has an end. */
const DEPTH = 2;

const STRING = String.raw`"(?:[^"\\\x00-\x1f\x7f]|\\["\\/bfnrt])*"`;
const SCALAR = String.raw`${STRING}|-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?|true|false|null`;

function anyObject(depth = DEPTH): string {
  return `\\{(?:${listOf(`${STRING}: ?${anyValue(depth)}`)})?\\}`;
}

function anyValue(depth: number): string {
  const nested = depth === 0 ? '' : `|${anyObject(depth - 1)}|\\[(?:${listOf(anyValue(depth - 1))})?\\]`;
  return `(?:${SCALAR}${nested})`;
}

function listOf(item: string): string {
  return `${item}(?:, ?${item})*`;
}
