/** The answers file: LLaVA's lines, torn ones, others' answers in both frames. */
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Box } from '@llava-sp/node';
import { describe, expect, test } from 'vitest';
import { AnswersFile, matchAnswers, type AnswerLine } from '../../packages/llava-sp/src/eval/answers.ts';
import { reportTask, toMarkdown } from '../../packages/llava-sp/src/eval/report.ts';
import { taskRun } from '../../packages/llava-sp/src/eval/run.ts';
import { figuresOf, groupsOf } from '../../packages/llava-sp/src/eval/score.ts';
import { runOfFile, type Frame } from '../../packages/llava-sp/src/eval/score_file.ts';
import { claim, type RunState } from '../../packages/llava-sp/src/eval/state.ts';
import type { Item, Task, Truth } from '../../packages/llava-sp/src/eval/types.ts';
import { linesOf, withFiles } from './folder.ts';

function item(id: number, truth: Truth, rest: Partial<Item> = {}): Item {
  return {
    id,
    image: `${id}.png`,
    text: `Question ${id}?`,
    category: null,
    split: null,
    size: null,
    truth,
    ...rest,
  };
}

function line(id: number, text: string, metadata: AnswerLine['metadata'] = {}): AnswerLine {
  return { question_id: id, prompt: `Question ${id}?`, text, answer_id: `a${id}`, model_id: 'm', metadata };
}

function taskOf(metric: Task['metric'], items: readonly Item[]): Task {
  return { name: metric, metric, items, images: '.', suffix: null, prompt: null, sha256: 'x' };
}

const idsOf = async (path: string): Promise<unknown[]> =>
  (await readFile(path, 'utf8'))
    .trim()
    .split('\n')
    .map((text) => (JSON.parse(text) as AnswerLine).question_id);

describe('the file', () => {
  test("has exactly LLaVA's fields, a line an answer, in the questions' order when all is done", async () => {
    await withFiles({}, async (folder) => {
      const path = join(folder, 'task/answers.jsonl');
      const file = await AnswersFile.open(path);
      const lines = [line(1, 'a'), line(2, 'b')];
      await file.append(lines[1]);
      await file.append(lines[0]);
      expect(await idsOf(path)).toEqual([2, 1]);
      await file.close(lines);
      expect(await idsOf(path)).toEqual([1, 2]);
      const [first] = (await readFile(path, 'utf8')).split('\n');
      const fields = ['question_id', 'prompt', 'text', 'answer_id', 'model_id', 'metadata'];
      expect(Object.keys(JSON.parse(first) as object)).toEqual(fields);
    });
  });

  test('a run with a smaller limit loses none of the answers of a larger one', async () => {
    await withFiles({ 'answers.jsonl': [line(1, 'a'), line(2, 'b'), line(3, 'c')] }, async (folder) => {
      const path = join(folder, 'answers.jsonl');
      const file = await AnswersFile.open(path);
      await file.close([file.lines[1]]);
      expect(await idsOf(path)).toEqual([1, 2, 3]);
    });
  });

  test.each([1, 12, 60])('a last line that lacks its last %i bytes is asked again', async (cut) => {
    const whole = linesOf([line(1, 'one'), line(2, 'zwei: zwölf')]);
    const torn = Buffer.from(whole).subarray(0, -cut);
    await withFiles({ 'answers.jsonl': '' }, async (folder) => {
      const path = join(folder, 'answers.jsonl');
      await appendFile(path, torn);
      const file = await AnswersFile.open(path);
      expect(file.lines.map(({ question_id: id }) => id)).toEqual([1]);
      await file.append(line(2, 'again'));
      await file.close();
      expect(await readFile(path, 'utf8')).toBe(linesOf([line(1, 'one'), line(2, 'again')]));
    });
  });

  test('what could not be asked is asked again', async () => {
    const files = { 'answers.jsonl': [line(1, '', { error: 'IMAGE_DECODE_FAILED: ...' }), line(2, 'b')] };
    await withFiles(files, async (folder) => {
      const file = await AnswersFile.open(join(folder, 'answers.jsonl'));
      await file.close();
      expect(await idsOf(join(folder, 'answers.jsonl'))).toEqual([2]);
    });
  });

  test('a line in the middle that is no answer is an error with its number', async () => {
    await withFiles(
      { 'answers.jsonl': `${linesOf([line(1, 'a')])}{"text": \n${linesOf([line(2, 'b')])}` },
      (folder) =>
        expect(AnswersFile.open(join(folder, 'answers.jsonl'))).rejects.toThrow(/line 2: it is not JSON/),
    );
  });

  test('ids that are not unique: by prompt, then picture, then order', () => {
    const none = { kind: 'none' } as const;
    const items = [
      item(1, none, { text: 'A?' }),
      item(1, none, { text: 'B?' }),
      item(1, none, { text: 'B?', image: 'other.png' }),
      item(2, none, { text: 'C?' }),
    ];
    const of = (id: number, prompt: string, text: string, image?: string) => ({
      ...line(id, text, { image }),
      prompt,
    });
    const lines = [
      of(1, 'B?', 'other', 'other.png'),
      of(1, 'B?', 'b', '1.png'),
      of(1, 'A?', 'a'),
      of(2, 'C?\nOne word.', 'c'),
    ];
    expect(matchAnswers(items, lines).map((found) => found?.text)).toEqual(['a', 'b', 'other', 'c']);
  });

  test('of the same id only: an answer to another question, or about another picture, is none', () => {
    const asked = item(1, { kind: 'none' }, { text: 'A?' });
    const ours = (prompt: string, image: string) => ({ ...line(1, 'x', { image }), prompt });
    expect(matchAnswers([asked], [ours('B?', '1.png')])).toEqual([null]);
    expect(matchAnswers([asked], [ours('A?', 'other.png')])).toEqual([null]);
    // Of two lines of others nobody knows which is meant, as where a limit has left one of their questions.
    const theirs = ['B?\nOne word.', 'A?\nOne word.'].map((prompt) => ({ ...line(1, 'x'), prompt }));
    expect(matchAnswers([asked], theirs)).toEqual([null]);
    expect(matchAnswers([asked], theirs.slice(1))).toEqual(theirs.slice(1));
  });
});

describe('an output folder', () => {
  const state: RunState = {
    model: 'm',
    modelSha256: 'aa',
    device: 'wasm',
    precision: 'auto',
    maxTokens: null,
    tasks: { pope: { metric: 'pope', sha256: '11', suffix: null, prompt: null } },
  };

  test.each<[string, Partial<RunState>, RegExp]>([
    ['model', { model: 'n' }, /another model: m, not n/],
    ['weights', { modelSha256: 'bb' }, /another weights or files of the model/],
    ['device', { device: 'webgpu' }, /another device: wasm, not webgpu/],
    ['limit of tokens', { maxTokens: 5 }, /another limit of tokens: null, not 5/],
    [
      'questions',
      { tasks: { pope: { ...state.tasks.pope, sha256: '22' } } },
      /another questions of the task pope/,
    ],
    [
      'suffix',
      { tasks: { pope: { ...state.tasks.pope, suffix: 'x' } } },
      /another suffix of the task pope: null, not x/,
    ],
  ])('is refused to a run of another %s, by name', async (_, change, message) => {
    await withFiles({}, async (folder) => {
      await claim(folder, state);
      await claim(folder, state);
      const other = claim(folder, { ...state, ...change });
      await expect(other).rejects.toMatchObject({ code: 'OUTPUT_NOT_EMPTY' });
      await expect(other).rejects.toThrow(message);
    });
  });

  test('takes another task of the same run', async () => {
    await withFiles({}, async (folder) => {
      await claim(folder, state);
      await claim(folder, {
        ...state,
        tasks: { vqa: { metric: 'vqa', sha256: '33', suffix: null, prompt: null } },
      });
      const json = JSON.parse(await readFile(join(folder, 'run.json'), 'utf8')) as RunState;
      expect(Object.keys(json.tasks)).toEqual(['pope', 'vqa']);
    });
  });
});

describe("others' answers", () => {
  /** In a picture of 200 x 100: the padded square is 200 x 200 and begins 50 above. */
  const truth: Box = [20, 10, 60, 40];
  const wide = item(1, { kind: 'boxes', boxes: [truth] }, { size: { width: 200, height: 100 } });
  const score = (text: string, frame: Frame | null, one = wide) =>
    withFiles({ 'a.jsonl': [{ question_id: 1, prompt: 'x', text }] }, async (folder) => {
      const run = await runOfFile(taskOf('refcoco', [one]), join(folder, 'a.jsonl'), frame);
      return { boxes: run.lines[0]?.metadata.boxes, figures: reportTask(run).figures };
    });

  test('0..1 of the padded square, as LLaVA writes it', async () => {
    const { boxes, figures } = await score('[0.10, 0.30, 0.30, 0.45]', null);
    expect(boxes?.[0].map((v) => Math.round(v * 1e9) / 1e9)).toEqual(truth);
    expect(figures['IoU >= 0.9'].value).toBe(1);
  });

  test('thousandths of the picture, as InternVL writes it', async () => {
    const { boxes, figures } = await score('<ref>it</ref><box>[[100, 100, 300, 400]]</box>', null);
    expect(boxes).toEqual([truth]);
    expect(figures['IoU >= 0.9'].value).toBe(1);
  });

  test('0..1 of the picture, where --frame says it; read in the wrong frame it is wrong', async () => {
    const text = '[0.1, 0.1, 0.3, 0.4]';
    expect((await score(text, 'picture')).figures['mean IoU'].value).toBeCloseTo(1, 9);
    expect((await score(text, null)).figures['mean IoU'].value).toBeCloseTo(0.5, 9);
  });

  test('a tall picture is padded at its sides', async () => {
    const tall = item(1, { kind: 'boxes', boxes: [[10, 20, 40, 60]] }, { size: { width: 100, height: 200 } });
    expect((await score('[0.30, 0.10, 0.45, 0.30]', null, tall)).figures['mean IoU'].value).toBeCloseTo(1, 9);
  });

  test('words instead of a box are none', async () => {
    expect((await score('There is no star.', null)).figures['IoU >= 0.5'].value).toBe(0);
    const absent = { ...wide, truth: { kind: 'boxes', boxes: [] } as const };
    expect((await score('There is no star.', null, absent)).figures['not there'].value).toBe(1);
  });

  test('a size that nobody says, and answers that lack, are errors', async () => {
    await expect(score('[0, 0, 1, 1]', null, { ...wide, size: null })).rejects.toThrow(
      /do not say the size of 1\.png/,
    );
    await withFiles({ 'a.jsonl': [line(1, 'yes')] }, (folder) => {
      const items = [1, 2, 3].map((id) => item(id, { kind: 'yes_no', yes: true }));
      const run = runOfFile(taskOf('pope', items), join(folder, 'a.jsonl'), null);
      return expect(run).rejects.toThrow(/2 of 3 questions of pope have no answer; the first is 2/);
    });
  });

  test("MMVP's own answers have their text under response", async () => {
    const pair = (id: number) => item(id, { kind: 'pair', pair: '1', options: [], answer: 'yes' });
    const rows = [1, 2].map((id) => ({
      question_id: id,
      prompt: 'x',
      answer: '(a)',
      response: 'Yes.',
      answer_id: 'q',
    }));
    await withFiles({ 'a.jsonl': rows }, async (folder) => {
      const run = await runOfFile(taskOf('mmvp', [pair(1), pair(2)]), join(folder, 'a.jsonl'), null);
      expect(reportTask(run).figures.pairs).toMatchObject({ value: 1, n: 1 });
    });
  });
});

describe('figures', () => {
  const yes = { kind: 'yes_no', yes: true } as const;
  const no = { kind: 'yes_no', yes: false } as const;

  test('what could not be asked is wrong, whatever an empty answer would mean', () => {
    const failed = { text: '', boxes: [], error: 'FILE_UNREADABLE: gone' };
    expect(figuresOf([{ item: item(1, yes), ...failed }]).accuracy.value).toBe(0);
    expect(figuresOf([{ item: item(1, no), ...failed }]).accuracy.value).toBe(0);
    expect(figuresOf([{ item: item(1, { kind: 'boxes', boxes: [] }), ...failed }])['not there'].value).toBe(
      0,
    );
  });

  test('by split, by category, by both', () => {
    const answered = ['trained', 'held_out'].flatMap((split) =>
      ['random', 'popular'].map((category, i) => ({
        item: item(i, yes, { split, category }),
        text: split === 'trained' || category === 'random' ? 'Yes' : 'No',
        boxes: [],
        error: null,
      })),
    );
    const groups = groupsOf(answered).map(({ split, category, figures }) => [
      split,
      category,
      figures.accuracy.value,
    ]);
    expect(groups).toEqual([
      ['trained', null, 1],
      ['held_out', null, 0.5],
      [null, 'random', 1],
      [null, 'popular', 0.5],
      ['trained', 'random', 1],
      ['trained', 'popular', 1],
      ['held_out', 'random', 1],
      ['held_out', 'popular', 0],
    ]);
  });

  test('a report names failures, and breaks no table', () => {
    const run = {
      ...taskRun(taskOf('pope', [item(1, yes), item(2, no)]), null),
      lines: [line(1, 'No | never\n'), line(2, 'No')],
    };
    const task = reportTask(run);
    expect(task.failures).toEqual([
      {
        ...{ id: 1, image: '1.png', prompt: 'Question 1?', answer: 'No | never\n', truth: 'yes' },
        ...{ found: [], boxes: [], size: null },
      },
    ]);
    const machine = {
      llavaSp: '0',
      node: '0',
      platform: '',
      cpu: '',
      cores: 1,
      device: null,
      precision: null,
      threads: null,
    };
    const model = {
      name: 'm',
      architecture: null,
      location: null,
      sha256: null,
      weights: null,
      quantisation: null,
    };
    const markdown = toMarkdown({
      format: 'llava-sp-eval-1',
      benchmark: 'b',
      created: '',
      model,
      machine,
      limit: null,
      seed: 0,
      seconds: 0,
      tasks: [task],
    });
    expect(markdown).toContain('| 1.png   | Question 1? | No \\| never | yes   |');
    expect(markdown).toContain('| all | 2   | 50.0 (9.5 to 90.5) |');
  });
});
