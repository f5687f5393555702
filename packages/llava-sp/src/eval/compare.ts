import { basename } from 'node:path';
import { invalid, readQuestions } from './read.ts';
import { markdownTable, shownFigure, type Report, type TaskReport } from './report.ts';
import type { Figures } from './types.ts';

/** What stands in the paper's tables for each metric. */
const HEADLINES: Readonly<Record<string, readonly string[]>> = {
  pope: ['accuracy', 'F1', 'yes-ratio'],
  vqa: ['accuracy'],
  refcoco: ['IoU >= 0.5', 'not there'],
  mmvp: ['pairs'],
  caption: ['CIDEr-D', 'BLEU-4', 'ROUGE-L'],
};

interface Named {
  readonly label: string;
  readonly report: Report;
}

/** @throws {LoadError} `FILE_UNREADABLE`, `BENCHMARK_INVALID`. */
export async function readReports(paths: readonly string[]): Promise<Named[]> {
  const reports: Report[] = [];
  for (const path of paths) {
    const found = await readQuestions(path);
    const value = 'whole' in found ? found.whole.value : null;
    if (value?.format !== 'llava-sp-eval-1') throw invalid(path, 'it is no report of llava-sp eval');
    reports.push(value as unknown as Report);
  }
  const names = reports.map(({ model }) => model.name);
  const isOnly = (name: string): boolean => names.indexOf(name) === names.lastIndexOf(name);
  return reports.map((report, i) => ({
    label: isOnly(names[i]) ? names[i] : `${names[i]} (${shortPath(paths[i])})`,
    report,
  }));
}

function shortPath(path: string): string {
  const parts = path.split(/[/\\]/);
  return basename(path) === 'report.json' && parts.length > 1 ? parts[parts.length - 2] : basename(path);
}

/** The reports beside each other: models are rows, tasks are columns; then each task by splits and categories. */
export function compare(reports: readonly Named[]): string {
  const tasks = distinct(reports.flatMap(({ report }) => report.tasks.map(({ name }) => name)));
  const columns = tasks.flatMap((task) => figureNames(reports, task).map((figure) => ({ task, figure })));
  const rows = reports.map(({ label, report }) => [
    label,
    ...columns.map(({ task, figure }) => shownFigure(figure, taskOf(report, task)?.figures[figure], false)),
  ]);
  const parts = [
    markdownTable([['model', ...columns.map(({ task, figure }) => `${task}: ${figure}`)], ...rows]),
  ];
  for (const task of tasks) {
    const table = groupTable(reports, task);
    if (table) parts.push(`${task}, ${figureNames(reports, task)[0]}:`, table);
  }
  return [...parts, ...notes(reports, tasks)].join('\n\n');
}

function groupTable(reports: readonly Named[], task: string): string | null {
  const [figure] = figureNames(reports, task);
  const byLabel = reports.map(({ report }) => {
    const groups = taskOf(report, task)?.groups ?? [];
    return new Map(
      groups.map(({ split, category, figures }) => [labelOf(split, category), figures] as const),
    );
  });
  const labels = distinct(byLabel.flatMap((map) => [...map.keys()]));
  if (figure === undefined || labels.length === 0) return null;
  // What has no such figure, as phrases of what is not there, has its own.
  const show = (figures: Figures | undefined): string => {
    const name = figures && (figure in figures ? figure : Object.keys(figures)[0]);
    return name === undefined ? '' : shownFigure(name, figures?.[name], false);
  };
  const rows = reports.map(({ label }, i) => [label, ...labels.map((name) => show(byLabel[i].get(name)))]);
  return markdownTable([['model', ...labels], ...rows]);
}

function labelOf(split: string | null, category: string | null): string {
  return [split, category].filter((name) => name !== null).join(', ');
}

/** Where the figures can't be compared as they stand. */
function notes(reports: readonly Named[], tasks: readonly string[]): string[] {
  return tasks.flatMap((task) => {
    const found = reports.flatMap(({ report }) => taskOf(report, task) ?? []);
    const differ = (value: (found: TaskReport) => unknown): boolean => new Set(found.map(value)).size > 1;
    if (differ(({ sha256 }) => sha256)) return [`${task}: the reports are of different questions.`];
    if (differ(({ questions }) => questions))
      return [`${task}: the reports are of different numbers of questions.`];
    return [];
  });
}

function taskOf(report: Report, name: string): TaskReport | undefined {
  return report.tasks.find((task) => task.name === name);
}

function figureNames(reports: readonly Named[], task: string): string[] {
  const found = reports.flatMap(({ report }) => taskOf(report, task) ?? []);
  const has = (figure: string): boolean => found.some(({ figures }) => figure in figures);
  return distinct(found.flatMap(({ metric }) => HEADLINES[metric] ?? [])).filter(has);
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)];
}
