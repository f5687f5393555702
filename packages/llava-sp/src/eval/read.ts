import { readFile } from 'node:fs/promises';
import { LoadError } from '@llava-sp/node';

/** A value of a file, with a name for errors: `pope.jsonl, line 3`. */
export interface Row {
  readonly where: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** A file that holds something else than it should. */
export function invalid(where: string, problem: string, cause?: unknown): LoadError {
  return new LoadError({
    code: 'BENCHMARK_INVALID',
    message: `${where}: ${problem}.`,
    fix: 'Correct the file; EVAL.md of the package llava-sp says what each format holds.',
    cause,
  });
}

/** @throws {LoadError} `FILE_UNREADABLE`. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new LoadError({
      code: 'FILE_UNREADABLE',
      message: `The file ${path} can't be read.`,
      fix: 'Check the path and its permissions.',
      cause,
    });
  }
}

/**
 * The content of a file of questions: one JSON value, or the rows of JSON lines (whatever the name says: POPE's `.json` are lines) or of
 * a CSV with a header. @throws {LoadError} `BENCHMARK_INVALID`.
 */
export async function readQuestions(path: string): Promise<{ whole: Row } | { rows: Row[] }> {
  const text = (await readText(path)).replace(/^\uFEFF/, '');
  if (/\.csv$/i.test(path)) return { rows: parseCsv(text, path) };
  const first = text.trimStart()[0];
  if (first !== '{' && first !== '[') throw invalid(path, 'it holds neither JSON, JSON lines nor CSV');
  const whole = tryJson(text);
  if (whole === undefined) return { rows: parseLines(text, path) };
  if (Array.isArray(whole)) {
    return {
      rows: whole.map((value, i) => ({ where: `${path}, entry ${i + 1}`, value: object(value, path) })),
    };
  }
  const row = { where: path, value: object(whole, path) };
  // One row is a file of JSON lines, too.
  return 'question_id' in row.value || 'sent' in row.value ? { rows: [row] } : { whole: row };
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** JSON lines; empty ones are skipped. @throws {LoadError} `BENCHMARK_INVALID`. */
export function parseLines(text: string, path: string): Row[] {
  const rows: Row[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const where = `${path}, line ${i + 1}`;
    const value = tryJson(line);
    if (value === undefined) throw invalid(where, 'it is not JSON');
    rows.push({ where, value: object(value, where) });
  }
  return rows;
}

/** RFC 4180: quotes hold commas and line ends, and are doubled inside. */
function parseCsv(text: string, path: string): Row[] {
  const records: string[][] = [[]];
  for (const [, quoted, bare, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    records[records.length - 1].push((quoted?.replaceAll('""', '"') ?? bare).trim());
    if (end === '') break;
    if (end !== ',') records.push([]);
  }
  const [header, ...lines] = records.filter((cells) => cells.some((cell) => cell !== ''));
  return lines.map((cells, i) => {
    const where = `${path}, record ${i + 1}`;
    if (cells.length !== header.length)
      throw invalid(where, `it has ${cells.length} cells, not ${header.length}`);
    return { where, value: Object.fromEntries(header.map((name, column) => [name, cells[column]])) };
  });
}

export function object(value: unknown, where: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(where, 'it is no JSON object');
  return value as Record<string, unknown>;
}

/** The rows of a list in a file. */
export function rowsOf({ where, value }: Row, key: string): Row[] {
  const list = value[key];
  if (!Array.isArray(list)) throw invalid(where, `"${key}" is no list`);
  return list.map((entry, i) => {
    const name = `${where}, ${key} ${i + 1}`;
    return { where: name, value: object(entry, name) };
  });
}

/** The first of some keys that a row has, as a text. */
export function textOf({ where, value }: Row, ...keys: readonly string[]): string {
  const text = optionalText({ where, value }, ...keys);
  if (text === null) throw invalid(where, `"${keys[0]}" is missing`);
  return text;
}

/** `null` where the row has none of the keys. */
export function optionalText({ where, value }: Row, ...keys: readonly string[]): string | null {
  const key = keys.find((name) => value[name] !== undefined && value[name] !== null);
  if (key === undefined) return null;
  const found = value[key];
  if (typeof found === 'number' || typeof found === 'boolean') return String(found);
  if (typeof found !== 'string') throw invalid(where, `"${key}" is no text`);
  return found;
}

/** A number or a text that names a question, a picture or a pair. */
export function idOf({ where, value }: Row, ...keys: readonly string[]): string | number {
  const key = keys.find((name) => name in value) ?? keys[0];
  const id = value[key];
  if (typeof id !== 'string' && typeof id !== 'number')
    throw invalid(where, `"${key}" is neither a number nor a text`);
  return id;
}

export function numbersOf({ where, value }: Row, key: string, length: number): number[] {
  const list = value[key];
  if (
    Array.isArray(list) &&
    list.length === length &&
    list.every((v) => typeof v === 'number' && Number.isFinite(v))
  )
    return list as number[];
  throw invalid(where, `"${key}" is not ${length} numbers`);
}

/** Texts, or objects that have theirs under `answer`, as in VQA's annotations. */
export function textsOf({ where, value }: Row, key: string): string[] {
  const list = value[key];
  if (!Array.isArray(list) || list.length === 0) throw invalid(where, `"${key}" is no list of texts`);
  return list.map((entry) =>
    textOf({ where, value: typeof entry === 'string' ? { answer: entry } : object(entry, where) }, 'answer'),
  );
}

/** Of the picture, where the row says it. */
export function sizeOf({ value: { width, height } }: Row): { width: number; height: number } | null {
  return typeof width === 'number' && typeof height === 'number' ? { width, height } : null;
}
