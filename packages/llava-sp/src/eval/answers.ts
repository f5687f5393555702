/** LLaVA's `answers.jsonl`: a line an answer, with exactly its fields. */
import { mkdir, open, readFile, rename, truncate, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LoadError, type Box } from '@llava-sp/node';
import { object, optionalText, parseLines, readText, textOf, type Row } from './read.ts';
import type { Item } from './types.ts';

/** What we add to an answer, in the place that LLaVA's format has for it. */
export interface Metadata {
  readonly image?: string;
  /** Of grounding: in pixels of the source. */
  readonly boxes?: readonly Box[];
  /** Why the question could not be asked; its text is empty. */
  readonly error?: string;
  /** Milliseconds of the answer. */
  readonly ms?: number;
  /** Milliseconds of looking at the picture, in the first answer on it. */
  readonly look_ms?: number;
  /** Of the answer. */
  readonly tokens?: number;
}

export interface AnswerLine {
  readonly question_id: string | number;
  /** The question as its file has it. */
  readonly prompt: string;
  readonly text: string;
  readonly answer_id: string;
  readonly model_id: string;
  readonly metadata: Metadata;
}

/**
 * The answer to each question, as far as there is one: by id, prompt and picture together, then by order. Others name no picture and write
 * the prompt with what they add to it: their line is taken by its id, where one question and one line have it.
 */
export function matchAnswers(items: readonly Item[], lines: readonly AnswerLine[]): (AnswerLine | null)[] {
  const byId = new Map<string, AnswerLine[]>();
  for (const line of lines) {
    const id = String(line.question_id);
    byId.set(id, [...(byId.get(id) ?? []), line]);
  }
  const ids = new Map<string, number>();
  for (const { id } of items) ids.set(String(id), (ids.get(String(id)) ?? 0) + 1);
  return items.map(({ id, text, image }) => {
    const left = byId.get(String(id)) ?? [];
    const sameImage = (line: AnswerLine): boolean => (line.metadata.image ?? image) === image;
    const asked = left.findIndex((line) => line.prompt === text && sameImage(line));
    const isAlone = ids.get(String(id)) === 1 && left.length === 1;
    const at = asked < 0 && isAlone && left[0].metadata.image === undefined ? 0 : asked;
    return at < 0 ? null : (left.splice(at, 1).at(0) ?? null);
  });
}

/** The lines of an answers file, ours or LLaVA's (or MMVP's, with `response`). @throws {LoadError} `BENCHMARK_INVALID`. */
export async function readAnswers(path: string): Promise<AnswerLine[]> {
  return parseLines(await readText(path), path).map(lineOf);
}

function lineOf(row: Row): AnswerLine {
  const { value, where } = row;
  const id = value.question_id;
  return {
    question_id: typeof id === 'number' ? id : textOf(row, 'question_id'),
    prompt: optionalText(row, 'prompt') ?? '',
    text: textOf(row, 'text', 'response'),
    answer_id: optionalText(row, 'answer_id') ?? '',
    model_id: optionalText(row, 'model_id') ?? 'unknown',
    metadata: value.metadata === undefined ? {} : object(value.metadata, where),
  };
}

/** An answers file that grows line by line and survives whatever ends the process. */
export class AnswersFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #lines: AnswerLine[];

  private constructor(path: string, handle: FileHandle, lines: AnswerLine[]) {
    this.#path = path;
    this.#handle = handle;
    this.#lines = lines;
  }

  /**
   * Opens it, or begins it. A last line that was torn is cut off; questions that could not be asked will be asked again.
   *
   * @throws {LoadError} `BENCHMARK_INVALID` where another line is no answer; `OUTPUT_FAILED`.
   */
  static async open(path: string): Promise<AnswersFile> {
    await writing(path, () => mkdir(dirname(path), { recursive: true }));
    await repair(path);
    const found = await readFile(path, 'utf8').catch(() => '');
    const all = parseLines(found, path).map(lineOf);
    const lines = all.filter(({ metadata }) => metadata.error === undefined);
    if (lines.length < all.length) await replace(path, lines);
    return new AnswersFile(path, await writing(path, () => open(path, 'a')), lines);
  }

  get lines(): readonly AnswerLine[] {
    return this.#lines;
  }

  /** It is in the file when this is done. */
  async append(line: AnswerLine): Promise<void> {
    await writing(this.#path, () => this.#handle.write(`${JSON.stringify(line)}\n`));
    this.#lines.push(line);
  }

  /**
   * Closes it. `order`, where all of these questions are done: the lines as they are to stand, which is how the official scorers want
   * them. Where there are others, of a run with a larger limit, nothing moves.
   */
  async close(order?: readonly AnswerLine[]): Promise<void> {
    await this.#handle.close();
    if (order?.length !== this.#lines.length) return;
    if (order.some((line, i) => line !== this.#lines[i])) await replace(this.#path, order);
  }
}

async function replace(path: string, lines: readonly AnswerLine[]): Promise<void> {
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  await writing(path, async () => {
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  });
}

/** What stands behind the last line end is whole, or goes. */
async function repair(path: string): Promise<void> {
  const bytes = await readFile(path).catch(() => null);
  if (bytes === null || bytes.length === 0 || bytes[bytes.length - 1] === 10) return;
  await writing(path, () => truncate(path, bytes.lastIndexOf(10) + 1));
}

/** @throws {LoadError} `OUTPUT_FAILED`. */
export async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new LoadError({
      code: 'OUTPUT_FAILED',
      message: `${path} can't be written.`,
      fix: 'Check permissions and free space; the answers so far are kept.',
      cause,
    });
  }
}
