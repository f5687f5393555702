/** What `llava-sp eval` makes of the field's files, and what it says of files that are something else. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openBenchmark, type TaskOptions } from '../../packages/llava-sp/src/eval/benchmark.ts';
import { compare, readReports } from '../../packages/llava-sp/src/eval/compare.ts';
import { sampleOf } from '../../packages/llava-sp/src/eval/sample.ts';
import type { Task } from '../../packages/llava-sp/src/eval/types.ts';
import { withFiles, type Content } from './folder.ts';

const PLAIN: TaskOptions = {
  metric: null,
  images: null,
  annotations: null,
  suffix: null,
  prompt: null,
  box: null,
  split: null,
};

/** The tasks of a file in a folder of files. */
function open(
  files: Readonly<Record<string, Content>>,
  name = Object.keys(files)[0],
  options: Partial<TaskOptions> = {},
): Promise<readonly Task[]> {
  return withFiles(files, async (folder) => {
    const annotations = options.annotations ? join(folder, options.annotations) : null;
    return (await openBenchmark([join(folder, name)], { ...PLAIN, ...options, annotations })).tasks;
  });
}

describe('files of questions', () => {
  test("LLaVA's question.jsonl: no truth, answers alone", async () => {
    const rows = [{ question_id: 7, image: 'a.jpg', text: 'What is it?', category: 'conv' }];
    const [task] = await open({ 'question.jsonl': rows });
    expect(task).toMatchObject({
      name: 'question',
      metric: 'none',
      items: [{ id: 7, image: 'a.jpg', category: 'conv' }],
    });
  });

  test("POPE's lines, in a .json; its kind is in the name", async () => {
    const rows = [
      { question_id: 1, image: 'COCO_val2014_1.jpg', text: 'Is there a dog in the image?', label: 'yes' },
      { question_id: 2, image: 'COCO_val2014_1.jpg', text: 'Is there a cat in the imange?', label: 'no' },
    ];
    const [task] = await open({ 'coco_pope_popular.json': rows });
    expect(task.metric).toBe('pope');
    expect(task.items.map(({ category, truth }) => [category, truth])).toEqual([
      ['popular', { kind: 'yes_no', yes: true }],
      ['popular', { kind: 'yes_no', yes: false }],
    ]);
  });

  test('one line is a file of lines', async () => {
    const [task] = await open({
      'v.jsonl': [{ question_id: 1, image: 'a.png', text: 'How many?', answer: '2' }],
    });
    expect(task.items).toMatchObject([{ truth: { kind: 'answers', answers: ['2'] } }]);
  });

  test('VQA: questions beside annotations', async () => {
    const questions = {
      data_subtype: 'val2014',
      questions: [{ question_id: 420, image_id: 42, question: 'What?' }],
    };
    const answers = Array.from({ length: 10 }, (_, i) => ({
      answer: i < 3 ? 'red' : 'blue',
      answer_id: i + 1,
    }));
    const annotations = { annotations: [{ question_id: 420, answer_type: 'other', answers }] };
    const files = { 'q.json': JSON.stringify(questions), 'a.json': JSON.stringify(annotations) };
    const [task] = await open(files, 'q.json', { annotations: 'a.json' });
    expect(task.items[0]).toMatchObject({
      id: 420,
      image: 'COCO_val2014_000000000042.jpg',
      category: 'other',
    });
    expect(task.items[0].truth).toEqual({ kind: 'answers', answers: answers.map(({ answer }) => answer) });
    await expect(open(files, 'q.json')).rejects.toMatchObject({ code: 'BENCHMARK_INVALID' });
  });

  test('TextVQA', async () => {
    const data = [
      { question_id: 1, image_id: '00ab', question: 'What does it say?', answers: Array(10).fill('stop') },
    ];
    const [task] = await open({ 'TextVQA_0.5.1_val.json': JSON.stringify({ data }) });
    expect(task.items).toMatchObject([{ image: '00ab.jpg', truth: { answers: { length: 10 } } }]);
  });

  test("RefCOCO as refer has it: COCO's boxes, a question a sentence, gRefCOCO's none and several", async () => {
    const document = {
      images: [{ id: 5, file_name: 'five.jpg', width: 64, height: 48 }],
      annotations: [
        { id: 1, image_id: 5, bbox: [10, 20, 30, 5] },
        { id: 2, image_id: 5, bbox: [0, 0, 2, 2] },
      ],
      refs: [
        {
          ref_id: 1,
          ann_id: 1,
          image_id: 5,
          split: 'testA',
          sentences: [
            { sent_id: 9, sent: 'a' },
            { sent_id: 10, sent: 'b' },
          ],
        },
        {
          ref_id: 2,
          ann_id: -1,
          no_target: true,
          image_id: 5,
          split: 'val',
          sentences: [{ sent_id: 11, sent: 'c' }],
        },
        { ref_id: 3, ann_id: [1, 2], image_id: 5, split: 'val', sentences: [{ sent_id: 12, sent: 'd' }] },
      ],
    };
    const files = { 'refcoco.json': JSON.stringify(document) };
    const [{ metric, items }] = await open(files);
    expect(metric).toBe('refcoco');
    expect(items.map(({ id, text, split, truth }) => [id, text, split, truth])).toEqual([
      [9, 'a', 'testA', { kind: 'boxes', boxes: [[10, 20, 40, 25]] }],
      [10, 'b', 'testA', { kind: 'boxes', boxes: [[10, 20, 40, 25]] }],
      [11, 'c', 'val', { kind: 'boxes', boxes: [] }],
      [
        12,
        'd',
        'val',
        {
          kind: 'boxes',
          boxes: [
            [10, 20, 40, 25],
            [0, 0, 2, 2],
          ],
        },
      ],
    ]);
    expect(items[0]).toMatchObject({ image: 'five.jpg', size: { width: 64, height: 48 } });
    const [{ items: some }] = await open(files, 'refcoco.json', { split: 'val' });
    expect(some.map(({ id }) => id)).toEqual([11, 12]);
    await expect(open(files, 'refcoco.json', { split: 'train' })).rejects.toThrow(
      /no questions of the split train/,
    );
  });

  test("RefCOCO as Qwen-VL's and InternVL's lines have it: corners; --box xywh for others", async () => {
    const rows = [{ image: 'data/coco/x.jpg', sent: 'bowl', bbox: [10, 20, 40, 25], width: 64, height: 48 }];
    const boxOf = async (options: Partial<TaskOptions>) =>
      (await open({ 'r.jsonl': rows }, 'r.jsonl', options))[0].items[0];
    expect(await boxOf({})).toMatchObject({ id: 1, truth: { boxes: [[10, 20, 40, 25]] } });
    expect(await boxOf({ box: 'xywh' })).toMatchObject({ truth: { boxes: [[10, 20, 50, 45]] } });
    const absent = [{ image: 'x.jpg', sent: 'spoon', bbox: null, no_target: true }];
    expect((await open({ 'r.jsonl': absent }))[0].items).toMatchObject([{ truth: { boxes: [] } }]);
  });

  test("MMVP's Questions.csv, with commas and quotes in its cells", async () => {
    const csv = `Index,Question,Options,Correct Answer
1,"Is it open, or ""shut""?",(a) Open (b) Closed,(a)
2,"Is it open, or ""shut""?",(a) Open (b) Closed,(b)
`;
    const [{ metric, items }] = await open({ 'Questions.csv': csv });
    expect(metric).toBe('mmvp');
    expect(items[1]).toMatchObject({
      id: 2,
      image: '2.jpg',
      text: 'Is it open, or "shut"? (a) Open (b) Closed',
      truth: {
        pair: '1',
        answer: '(b)',
        options: [
          { letter: 'a', text: 'Open' },
          { letter: 'b', text: 'Closed' },
        ],
      },
    });
  });

  test("captions: COCO's document, and rows with references", async () => {
    const document = {
      images: [{ id: 1, file_name: 'a.jpg' }],
      annotations: [
        { image_id: 1, id: 1, caption: 'One.' },
        { image_id: 1, id: 2, caption: 'Two.' },
      ],
    };
    const [coco] = await open({ 'captions_val2014.json': JSON.stringify(document) });
    // Nothing is asked: the model has words of its own for it.
    expect(coco.items).toMatchObject([{ text: '', truth: { references: ['One.', 'Two.'] } }]);
    const [rows] = await open({
      'c.jsonl': [{ question_id: 1, image: 'a.jpg', text: 'Describe.', references: ['x'] }],
    });
    expect(rows).toMatchObject({ metric: 'caption', items: [{ text: 'Describe.' }] });
  });
});

describe('benchmark.json', () => {
  const manifest = {
    name: 'ours',
    images: 'pictures',
    tasks: [
      {
        name: 'pope',
        metric: 'pope',
        questions: ['pope_random.jsonl', 'pope_popular.jsonl'],
        suffix: 'One word.',
      },
      { name: 'mmvp', questions: 'mmvp.jsonl', images: 'pairs' },
    ],
  };
  const files = {
    'benchmark.json': JSON.stringify(manifest),
    'pope_random.jsonl': [
      { question_id: 1, image: 'a.png', text: 'Is there a dog?', label: 'yes', split: 'held_out' },
    ],
    'pope_popular.jsonl': [{ question_id: 1, image: 'a.png', text: 'Is there a cat?', label: 'no' }],
    'mmvp.jsonl': [
      { question_id: 1, image: 'b.png', text: 'Is it red?', answer: 'Yes', pair: 3 },
      { question_id: 2, image: 'c.png', text: 'Is it red?', answer: 'No', pair: 3 },
    ],
  };

  test('tasks of several files, with their own folders and suffixes; the folder will do', async () => {
    await withFiles(files, async (folder) => {
      const { name, tasks } = await openBenchmark([folder], PLAIN);
      expect(name).toBe('ours');
      expect(tasks.map((task) => [task.name, task.metric, task.items.length, task.suffix])).toEqual([
        ['pope', 'pope', 2, 'One word.'],
        ['mmvp', 'mmvp', 2, null],
      ]);
      expect(tasks.map(({ images }) => images)).toEqual([join(folder, 'pictures'), join(folder, 'pairs')]);
      expect(tasks[0].items.map(({ category, split }) => [category, split])).toEqual([
        ['random', 'held_out'],
        ['popular', null],
      ]);
    });
  });

  test("a prompt is RefCOCO's alone", async () => {
    const box = [{ question_id: 1, image: 'a.png', sent: 'the dog', bbox: [0, 0, 1, 1] }];
    const options = { prompt: 'Where is {phrase}?' };
    const [pope] = await open(files, 'pope_random.jsonl', options);
    const [refcoco] = await open({ 'r.jsonl': box }, 'r.jsonl', options);
    expect([pope.prompt, refcoco.prompt]).toEqual([null, 'Where is {phrase}?']);
    await expect(open({ 'r.jsonl': box }, 'r.jsonl', { prompt: 'Where?' })).rejects.toThrow(
      /lacks \{phrase\}/,
    );
  });

  test('other questions have another hash', async () => {
    const [before] = await open(files, 'benchmark.json');
    const changed = { ...files, 'pope_popular.jsonl': [{ ...files['pope_popular.jsonl'][0], label: 'yes' }] };
    const [after] = await open(changed, 'benchmark.json');
    expect(before.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(after.sha256).not.toBe(before.sha256);
  });
});

describe('what is wrong is named with its place', () => {
  const good = { question_id: 1, image: 'a.png', text: 'Is there a dog?', label: 'yes' };
  test.each<[string, Record<string, Content>, RegExp]>([
    ['not JSON', { 'q.jsonl': '{"question_id": 1}\n{"question' }, /q\.jsonl, line 2: it is not JSON/],
    ['neither', { 'q.txt': 'hello' }, /neither JSON, JSON lines nor CSV/],
    ['empty', { 'q.jsonl': '[]' }, /it has no questions/],
    [
      'no image',
      { 'q.jsonl': [{ ...good, image: undefined }] },
      /line 1: "image" is missing|q\.jsonl: "image" is missing/,
    ],
    ['a wrong label', { 'q.jsonl': [good, { ...good, label: 'maybe' }] }, /line 2: "label" is "maybe"/],
    ['a wrong id', { 'q.jsonl': [good, { ...good, question_id: null }] }, /line 2: "question_id" is neither/],
    ['three numbers', { 'r.jsonl': [{ image: 'a', sent: 'b', bbox: [1, 2, 3] }] }, /"bbox" is not 4 numbers/],
    ['an unknown document', { 'd.json': '{"x": 1}' }, /neither refs, questions, data nor annotations/],
    [
      'a short record',
      { 'Q.csv': 'Index,Question,Options,Correct Answer\n1,What?\n' },
      /record 1: it has 2 cells, not 4/,
    ],
    [
      'no picture of that number',
      { 'r.json': '{"images":[],"annotations":[],"refs":[{"image_id":3}]}' },
      /refs 1: there is no image 3/,
    ],
    ['no tasks', { 'benchmark.json': '{"tasks": []}' }, /it has no tasks/],
    [
      'an unknown metric',
      { 'benchmark.json': '{"tasks": [{"name": "a", "metric": "b", "questions": "c"}]}' },
      /"metric" is "b", none of pope,/,
    ],
    [
      'a name that is a path',
      { 'benchmark.json': '{"tasks": [{"name": "../a", "questions": "c"}]}' },
      /"name" is "..\/a"/,
    ],
  ])('%s', async (_, files, message) => {
    await expect(open(files)).rejects.toMatchObject({ code: 'BENCHMARK_INVALID' });
    await expect(open(files)).rejects.toThrow(message);
  });

  test('a file that is not there', async () => {
    await expect(open({ 'a.jsonl': [] }, 'b.jsonl')).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
    const missing = { 'benchmark.json': '{"tasks": [{"name": "a", "questions": "c.jsonl"}]}' };
    await expect(open(missing)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
  });

  test('a comparison of what is no report', async () => {
    await withFiles({ 'r.json': '{"tasks": []}' }, (folder) =>
      expect(readReports([join(folder, 'r.json')])).rejects.toMatchObject({ code: 'BENCHMARK_INVALID' }),
    );
  });
});

test('--limit: the same questions each time, more of them with a larger limit, pairs whole', async () => {
  const rows = Array.from({ length: 40 }, (_, i) => ({
    question_id: i,
    image: `${i}.png`,
    text: 'Is it red?',
    answer: i % 2 ? 'Yes' : 'No',
    pair: i >> 1,
  }));
  const [{ items }] = await open({ 'm.jsonl': rows });
  const ids = (limit: number, seed: number) => sampleOf(items, limit, seed).map(({ id }) => Number(id));
  expect(ids(9, 0)).toHaveLength(8);
  expect(ids(9, 0)).toEqual(ids(9, 0).toSorted((a, b) => a - b));
  expect(ids(20, 0)).toEqual(expect.arrayContaining(ids(9, 0)));
  expect(ids(9, 1)).not.toEqual(ids(9, 0));
  for (const id of ids(9, 0)) expect(ids(9, 0)).toContain(id ^ 1);
  expect(ids(100, 0)).toHaveLength(40);
});

test('--compare: a row for each model, a column for each figure, and what makes them no comparison', async () => {
  const report = (name: string, accuracy: number, sha256: string) => ({
    format: 'llava-sp-eval-1',
    model: { name },
    tasks: [
      {
        name: 'vqa',
        metric: 'vqa',
        sha256,
        questions: 10,
        figures: { accuracy: { value: accuracy, n: 10, interval: [0, 1] } },
        groups: [{ split: null, category: 'count', figures: { accuracy: { value: accuracy / 2, n: 5 } } }],
      },
    ],
  });
  const files = {
    'a/report.json': JSON.stringify(report('model', 0.9, 'x')),
    'b/report.json': JSON.stringify(report('model', 0.8, 'x')),
    'c.json': JSON.stringify(report('other', 0.7, 'y')),
  };
  await withFiles(files, async (folder) => {
    const paths = ['a/report.json', 'b/report.json', 'c.json'].map((name) => join(folder, name));
    const text = compare(await readReports(paths));
    expect(text).toContain('| model     | vqa: accuracy |');
    expect(text).toContain('| model (a) | 90.0          |');
    expect(text).toContain('| model (b) | 40.0  |');
    expect(text).toContain('vqa: the reports are of different questions.');
    expect(compare(await readReports(paths.slice(0, 2)))).not.toContain('different');
  });
});
