import { LoadError } from '../errors/index.ts';

type Json = Readonly<Record<string, unknown>>;

/** Limits of a number in a configuration file, both inclusive. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/**
 * Reads the fields of one JSON object of a configuration file. Each reader throws a LoadError `CONFIG_INVALID`
 * that names the field's path, what was found and what was wanted; a fallback makes a field optional
 * (absent or `null`, as Hugging Face writes both).
 */
export class Fields {
  readonly #object: Json;
  readonly #path: string;
  readonly #file: string;

  private constructor(object: Json, path: string, file: string) {
    this.#object = object;
    this.#path = path;
    this.#file = file;
  }

  /** @throws {LoadError} `CONFIG_INVALID` when `json` is no object. `file` is for messages. */
  static of(json: unknown, file: string): Fields {
    if (!isObject(json)) throw invalid(file, 'the top level', json, 'an object');
    return new Fields(json, '', file);
  }

  /** Whether there is such a field that is not `null`. */
  has(key: string): boolean {
    return this.#value(key) !== undefined;
  }

  /** Of all fields. */
  keys(): string[] {
    return Object.keys(this.#object);
  }

  /** The raw value, `undefined` for `null`. */
  raw(key: string): unknown {
    return this.#value(key);
  }

  /** An object. */
  fields(key: string): Fields {
    const value = this.#value(key);
    if (!isObject(value)) throw this.error(key, 'an object');
    return new Fields(value, this.path(key), this.#file);
  }

  /** A whole number within the range. */
  integer(key: string, range: Range, fallback?: number): number {
    const value = this.#value(key) ?? fallback;
    if (Number.isSafeInteger(value) && inRange(value as number, range)) return value as number;
    throw this.error(key, `an integer from ${range.min} to ${range.max}`);
  }

  /** A finite number within the range. */
  number(key: string, range: Range, fallback?: number): number {
    const value = this.#value(key) ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value) && inRange(value, range)) return value;
    throw this.error(key, `a number from ${range.min} to ${range.max}`);
  }

  /** `true` or `false`. */
  boolean(key: string, fallback: boolean): boolean {
    const value = this.#value(key) ?? fallback;
    if (typeof value === 'boolean') return value;
    throw this.error(key, 'true or false');
  }

  /** One of the given values. */
  oneOf<const T extends string | number>(key: string, choices: readonly T[], fallback?: T): T {
    const value = this.#value(key) ?? fallback;
    const choice = choices.find((item) => item === value);
    if (choice !== undefined) return choice;
    throw this.error(key, choices.length === 1 ? JSON.stringify(choices[0]) : `one of ${choices.join(', ')}`);
  }

  /** A text. */
  string(key: string): string {
    const value = this.#value(key);
    if (typeof value === 'string') return value;
    throw this.error(key, 'a string');
  }

  /** A field's place in the file, for messages: `vision_config.hidden_size`. */
  path(key: string): string {
    return this.#path === '' ? key : `${this.#path}.${key}`;
  }

  /** The error for a field that is not what is wanted. */
  error(key: string, wanted: string): LoadError {
    return invalid(this.#file, this.path(key), this.#value(key), wanted);
  }

  #value(key: string): unknown {
    return Object.hasOwn(this.#object, key) ? (this.#object[key] ?? undefined) : undefined;
  }
}

function invalid(file: string, path: string, found: unknown, wanted: string): LoadError {
  const shown = found === undefined ? 'nothing' : (JSON.stringify(found) ?? typeof found).slice(0, 80);
  return new LoadError({
    code: 'CONFIG_INVALID',
    message: `${file}: ${path} must be ${wanted}; found ${shown}.`,
    fix: `Correct ${path} in ${file}, or convert the model again.`,
  });
}

function inRange(value: number, { min, max }: Range): boolean {
  return value >= min && value <= max;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
