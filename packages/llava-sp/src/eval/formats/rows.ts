/** Question rows as LLaVA's `question.jsonl` has them, with the truth in the row. */
import { idOf, invalid, numbersOf, optionalText, sizeOf, textOf, textsOf, type Row } from '../read.ts';
import { parseOptions } from '../metrics/options.ts';
import type { Item, Metric, Truth } from '../types.ts';

/** What the files of a task are, where their rows do not say it. */
export interface RowOptions {
  /** Of rows that have none of their own. */
  readonly category: string | null;
  /** How `bbox` is meant: of rows with `sent` corners by default, as Qwen-VL's and InternVL's have it. */
  readonly box: 'xywh' | 'xyxy' | null;
}

/** Which metric a row is for; `none` where it holds no truth. */
export function metricOf({ value }: Row): Metric {
  if ('label' in value) return 'pope';
  if ('bbox' in value && ('sent' in value || 'phrase' in value)) return 'refcoco';
  if ('pair' in value || 'Correct Answer' in value) return 'mmvp';
  if ('references' in value || 'captions' in value) return 'caption';
  return 'answer' in value || 'answers' in value ? 'vqa' : 'none';
}

/** One question. @throws {LoadError} `BENCHMARK_INVALID`, naming the line. */
export function itemOf(row: Row, index: number, metric: Metric, options: RowOptions): Item {
  if ('Correct Answer' in row.value) return mmvpItem(row, index);
  const id = 'question_id' in row.value ? idOf(row, 'question_id') : index + 1;
  const text =
    metric === 'refcoco'
      ? textOf(row, 'sent', 'phrase', 'text')
      : optionalText(row, 'text', 'question', 'prompt');
  if (text === null && metric !== 'caption') throw invalid(row.where, '"text" is missing');
  return {
    id,
    image: textOf(row, 'image'),
    text: text ?? '',
    category: optionalText(row, 'category') ?? options.category,
    split: optionalText(row, 'split'),
    size: sizeOf(row),
    truth: truthOf(row, metric, text ?? '', options),
  };
}

function truthOf(row: Row, metric: Metric, text: string, { box }: RowOptions): Truth {
  switch (metric) {
    case 'pope':
      return { kind: 'yes_no', yes: labelOf(row) };
    case 'vqa': {
      const answers = 'answers' in row.value ? textsOf(row, 'answers') : [textOf(row, 'answer')];
      return { kind: 'answers', answers };
    }
    case 'refcoco': {
      if (row.value.no_target === true) return { kind: 'boxes', boxes: [] };
      const [x, y, third, fourth] = numbersOf(row, 'bbox', 4);
      const corners = [x, y, third, fourth] as const;
      return { kind: 'boxes', boxes: [box === 'xywh' ? [x, y, x + third, y + fourth] : corners] };
    }
    case 'mmvp':
      return {
        kind: 'pair',
        pair: String(idOf(row, 'pair')),
        options: parseOptions(optionalText(row, 'options') ?? text),
        answer: textOf(row, 'answer'),
      };
    case 'caption':
      return {
        kind: 'captions',
        references: textsOf(row, 'references' in row.value ? 'references' : 'captions'),
      };
    case 'none':
      return { kind: 'none' };
  }
}

function labelOf(row: Row): boolean {
  const label = textOf(row, 'label').toLowerCase();
  if (label === 'yes' || label === 'no') return label === 'yes';
  throw invalid(row.where, `"label" is ${JSON.stringify(label)}, neither yes nor no`);
}

/** MMVP's `Questions.csv`: picture and question have the number of the record, and two records are a pair. */
function mmvpItem(row: Row, index: number): Item {
  const options = textOf(row, 'Options');
  return {
    id: index + 1,
    image: `${index + 1}.jpg`,
    text: `${textOf(row, 'Question')} ${options}`,
    category: null,
    split: null,
    size: null,
    truth: {
      kind: 'pair',
      pair: String(Math.floor(index / 2) + 1),
      options: parseOptions(options),
      answer: textOf(row, 'Correct Answer'),
    },
  };
}
