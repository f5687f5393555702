import type { Box } from '@llava-sp/node';
import { answeredOf, type TaskRun } from './run.ts';
import { figuresOf, groupsOf, pointsOf, type Group } from './score.ts';
import type { Answered, Figure, Figures, Item, Truth } from './types.ts';

/** What ran, and where; of answers that somebody else gave, only their name. */
export interface ReportModel {
  readonly name: string;
  /** As `LLaVA-SP-Cropping`. */
  readonly architecture: string | null;
  readonly location: string | null;
  /** Over all files of its folder. */
  readonly sha256: string | null;
  /** Bytes of the weights by format. */
  readonly weights: Readonly<Record<string, number>> | null;
  /** As `4 bits, groups of 64`. */
  readonly quantisation: string | null;
}

export interface Machine {
  readonly llavaSp: string;
  readonly node: string;
  readonly platform: string;
  readonly cpu: string;
  readonly cores: number;
  readonly device: string | null;
  readonly precision: string | null;
  readonly threads: number | null;
}

export interface TaskReport {
  readonly name: string;
  readonly metric: string;
  /** SHA-256 of the files of questions. */
  readonly sha256: string;
  readonly suffix: string | null;
  readonly prompt: string | null;
  /** Answered, of all that the files hold. */
  readonly questions: number;
  /** That could not be asked; they count as wrong. */
  readonly errors: number;
  readonly figures: Figures;
  readonly groups: readonly Group[];
  /** Milliseconds, the median; `null` where nothing was measured. */
  readonly answerMs: number | null;
  readonly pictureMs: number | null;
  /** The first ones in the order of the file. */
  readonly failures: readonly Failure[];
}

export interface Failure {
  readonly id: string | number;
  readonly image: string;
  readonly prompt: string;
  readonly answer: string;
  readonly truth: string;
  /** Of RefCOCO, in pixels of the source: what was found, what is true. */
  readonly found: readonly Box[];
  readonly boxes: readonly Box[];
  /** Of the picture, where the questions say it. */
  readonly size: Item['size'];
}

export interface Report {
  readonly format: 'llava-sp-eval-1';
  readonly benchmark: string;
  readonly created: string;
  readonly model: ReportModel;
  readonly machine: Machine;
  readonly limit: number | null;
  readonly seed: number;
  /** Of this run, without what an earlier one had answered. */
  readonly seconds: number;
  readonly tasks: readonly TaskReport[];
}

/** Failures that a report lists of a task. */
const FAILURES = 12;

/** The figures of a task by the answers that there are. */
export function reportTask({ task, lines }: TaskRun): TaskReport {
  const answered = task.items.flatMap((item, i) => {
    const line = lines[i];
    return line ? [answeredOf(item, line)] : [];
  });
  const metadata = lines.flatMap((line) => (line ? [line.metadata] : []));
  const { name, metric, sha256, suffix, prompt } = task;
  return {
    name,
    metric,
    sha256,
    suffix,
    prompt,
    questions: answered.length,
    errors: answered.filter(({ error }) => error !== null).length,
    figures: figuresOf(answered),
    groups: groupsOf(answered),
    answerMs: median(metadata.flatMap(({ ms }) => ms ?? [])),
    pictureMs: median(metadata.flatMap(({ look_ms: ms }) => ms ?? [])),
    failures: answered
      .filter((one) => one.error !== null || (metric !== 'caption' && pointsOf(one) === 0))
      .slice(0, FAILURES)
      .map((one) => ({
        id: one.item.id,
        image: one.item.image,
        prompt: one.item.text,
        answer: one.error ?? shownAnswer(one),
        truth: shownTruth(one.item.truth),
        found: one.boxes,
        boxes: one.item.truth.kind === 'boxes' ? one.item.truth.boxes : [],
        size: one.item.size,
      })),
  };
}

function median(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.toSorted((a, b) => a - b)[values.length >> 1];
}

function shownAnswer({ text, boxes, item }: Answered): string {
  if (item.truth.kind !== 'boxes') return text;
  return boxes.length > 0 ? boxes.map(shownBox).join(' ') : text || 'no box';
}

function shownBox(box: readonly number[]): string {
  return `[${box.map((v) => Math.round(v)).join(', ')}] px`;
}

function shownTruth(truth: Truth): string {
  switch (truth.kind) {
    case 'none':
      return '';
    case 'yes_no':
      return truth.yes ? 'yes' : 'no';
    case 'answers':
      return [...new Set(truth.answers)].join(' / ');
    case 'boxes':
      return truth.boxes.length > 0 ? truth.boxes.map(shownBox).join(' ') : 'not there';
    case 'pair':
      return truth.answer;
    case 'captions':
      return truth.references[0];
  }
}

/** A report for people, in Markdown. */
export function toMarkdown(report: Report): string {
  const { benchmark, model, machine, tasks, seconds, limit, seed } = report;
  const where =
    machine.device === null
      ? 'answers from a file'
      : `${machine.device}${machine.threads === null ? '' : `, ${machine.threads} threads`}, ${machine.cpu}, ${seconds.toFixed(1)} s`;
  const drawn = limit === null ? '' : `\nAt most ${limit} questions of each task, drawn by seed ${seed}.\n`;
  const parts = tasks.map((task) => {
    const rows = [
      { label: 'all', figures: task.figures },
      ...task.groups.map(({ split, category, figures }) => ({
        label: [split, category].filter((name) => name !== null).join(', '),
        figures,
      })),
    ];
    const notes = [
      task.errors > 0 ? `${task.errors} questions could not be asked and count as wrong.` : '',
      task.answerMs === null ? '' : `${task.answerMs.toFixed(0)} ms an answer`,
      task.pictureMs === null ? '' : `${task.pictureMs.toFixed(0)} ms a picture (medians)`,
    ].filter((note) => note !== '');
    const head =
      `## ${task.name}\n\n${task.questions} questions, ${task.metric}. ${notes.join(', ')}`.trimEnd();
    return [head, figuresTable(rows), failuresTable(task.failures)]
      .filter((part) => part !== '')
      .join('\n\n');
  });
  const quantisation = model.quantisation === null ? '' : `, ${model.quantisation}`;
  const name =
    model.architecture === null ? model.name : `${model.name} (${model.architecture}${quantisation})`;
  return `# ${benchmark}: ${name}\n\n${where}\n${drawn}\n${parts.join('\n\n')}\n`;
}

function figuresTable(rows: readonly { label: string; figures: Figures }[]): string {
  const names = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
  if (names.length === 0) return '';
  const lines = rows.map(({ label, figures }) => {
    const n = Math.max(...Object.values(figures).map((figure) => figure.n));
    return [label, String(n), ...names.map((name) => shownFigure(name, figures[name]))];
  });
  return markdownTable([['', 'n', ...names], ...lines]);
}

/** Shares in percent, with their interval; CIDEr-D as it is. */
export function shownFigure(name: string, figure: Figure | undefined, interval = true): string {
  if (!figure) return '';
  if (name === 'CIDEr-D') return figure.value.toFixed(2);
  const percent = (value: number): string => (100 * value).toFixed(1);
  const range = interval && figure.interval ? ` (${figure.interval.map(percent).join(' to ')})` : '';
  return percent(figure.value) + range;
}

function failuresTable(failures: readonly Failure[]): string {
  if (failures.length === 0) return '';
  const lines = failures.map(({ image, prompt, answer, truth }) => [image, prompt, answer, truth].map(cell));
  const most = failures.length === FAILURES ? `the first ${FAILURES}` : 'all of them';
  return `Wrong (${most}):\n\n${markdownTable([['picture', 'question', 'answer', 'truth'], ...lines])}`;
}

function cell(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim().replaceAll('|', '\\|');
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}

/** The first line is the head; columns are as wide as they must be. */
export function markdownTable(lines: readonly (readonly string[])[]): string {
  const widths = lines[0].map((_, i) => Math.max(3, ...lines.map((line) => line[i].length)));
  const text = (line: readonly string[]): string =>
    `| ${line.map((part, i) => part.padEnd(widths[i])).join(' | ')} |`;
  return [text(lines[0]), text(widths.map((width) => '-'.repeat(width))), ...lines.slice(1).map(text)].join(
    '\n',
  );
}
