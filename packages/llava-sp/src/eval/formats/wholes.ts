/** Benchmarks that are one JSON document, as their makers publish them. */
import type { Box } from '@llava-sp/node';
import {
  idOf,
  invalid,
  numbersOf,
  optionalText,
  rowsOf,
  sizeOf,
  textOf,
  textsOf,
  type Row,
} from '../read.ts';
import type { Item, Metric } from '../types.ts';

/** The items of a document by what it holds. @throws {LoadError} `BENCHMARK_INVALID`. */
export function wholeItems(whole: Row, annotations: Row | null): { metric: Metric; items: Item[] } {
  const { value, where } = whole;
  if ('refs' in value) return { metric: 'refcoco', items: refcocoItems(whole) };
  if ('questions' in value) {
    if (annotations) return { metric: 'vqa', items: vqaItems(whole, annotations) };
    throw invalid(where, 'it has questions without answers: pass the annotations too (--annotations FILE)');
  }
  if ('data' in value) return { metric: 'vqa', items: textVqaItems(whole) };
  if ('annotations' in value && 'images' in value)
    return { metric: 'caption', items: cocoCaptionItems(whole) };
  throw invalid(where, 'it has neither refs, questions, data nor annotations with images');
}

/** COCO's picture of a number, where no list of pictures names it. */
function cocoName(subset: string, id: string | number): string {
  return `COCO_${subset}_${String(id).padStart(12, '0')}.jpg`;
}

/** By id, from `images`. */
function picturesOf(whole: Row): Map<string | number, { image: string; size: Item['size'] }> {
  return new Map(
    rowsOf(whole, 'images').map((row) => [
      idOf(row, 'id'),
      { image: textOf(row, 'file_name'), size: sizeOf(row) },
    ]),
  );
}

/**
 * `{ images, annotations, refs }`: COCO's instances with refer's `refs`, boxes as `[x, y, width, height]`; each sentence is a question.
 * Of gRefCOCO: `no_target`, and several `ann_id`.
 */
function refcocoItems(whole: Row): Item[] {
  const pictures = picturesOf(whole);
  const boxes = new Map(
    rowsOf(whole, 'annotations').map((row): [string | number, Box] => {
      const [x, y, width, height] = numbersOf(row, 'bbox', 4);
      return [idOf(row, 'id'), [x, y, x + width, y + height]];
    }),
  );
  let next = 1;
  return rowsOf(whole, 'refs').flatMap((ref) => {
    const picture = pictures.get(idOf(ref, 'image_id'));
    if (!picture) throw invalid(ref.where, `there is no image ${idOf(ref, 'image_id')}`);
    const truth = { kind: 'boxes', boxes: boxesOf(ref, boxes) } as const;
    return rowsOf(ref, 'sentences').map((sentence) => {
      const number = next++;
      return {
        id: 'sent_id' in sentence.value ? idOf(sentence, 'sent_id') : number,
        ...picture,
        text: textOf(sentence, 'sent', 'raw'),
        category: optionalText(ref, 'category'),
        split: optionalText(ref, 'split'),
        truth,
      };
    });
  });
}

function boxesOf(ref: Row, boxes: ReadonlyMap<string | number, Box>): Box[] {
  if (ref.value.no_target === true) return [];
  const ids: unknown[] = Array.isArray(ref.value.ann_id) ? ref.value.ann_id : [ref.value.ann_id];
  return ids.map((id) => {
    const box = boxes.get(id as string | number);
    if (box) return box;
    throw invalid(ref.where, `there is no annotation ${String(id)}`);
  });
}

/** VQA's questions beside its annotations; the figures are by `answer_type`. */
function vqaItems(whole: Row, annotations: Row): Item[] {
  const truths = new Map(rowsOf(annotations, 'annotations').map((row) => [idOf(row, 'question_id'), row]));
  const subset = optionalText(whole, 'data_subtype') ?? 'val2014';
  return rowsOf(whole, 'questions').map((row) => {
    const id = idOf(row, 'question_id');
    const truth = truths.get(id);
    if (!truth) throw invalid(row.where, `the annotations have no question ${id}`);
    return {
      id,
      image: optionalText(row, 'image') ?? cocoName(subset, idOf(row, 'image_id')),
      text: textOf(row, 'question'),
      category: optionalText(truth, 'answer_type'),
      split: null,
      size: null,
      truth: { kind: 'answers', answers: textsOf(truth, 'answers') },
    };
  });
}

/** TextVQA's `{ data }`. */
function textVqaItems(whole: Row): Item[] {
  return rowsOf(whole, 'data').map((row) => ({
    id: idOf(row, 'question_id'),
    image: optionalText(row, 'image') ?? `${idOf(row, 'image_id')}.jpg`,
    text: textOf(row, 'question'),
    category: null,
    split: null,
    size: null,
    truth: { kind: 'answers', answers: textsOf(row, 'answers') },
  }));
}

/** COCO's captions: a picture is one question, in the model's own words. */
function cocoCaptionItems(whole: Row): Item[] {
  const references = new Map<string | number, string[]>();
  for (const row of rowsOf(whole, 'annotations')) {
    const id = idOf(row, 'image_id');
    references.set(id, [...(references.get(id) ?? []), textOf(row, 'caption')]);
  }
  return [...picturesOf(whole)]
    .filter(([id]) => references.has(id))
    .map(([id, picture]) => ({
      id,
      ...picture,
      text: '',
      category: null,
      split: null,
      truth: { kind: 'captions', references: references.get(id) ?? [] },
    }));
}
