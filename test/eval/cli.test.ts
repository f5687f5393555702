/** `llava-sp eval`, built: out of the box, killed and gone on with, interrupted, refused, compared. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchmarkUrl } from '@llava-sp/demo-model';
import { describe, expect, test } from 'vitest';
import type { AnswerLine } from '../../packages/llava-sp/src/eval/answers.ts';
import type { Report } from '../../packages/llava-sp/src/eval/report.ts';
import { cli, node, run, start } from '../cli/run.ts';
import { floorOf } from '../support/demo_figures.ts';
import { withFiles } from './folder.ts';

const demo = fileURLToPath(benchmarkUrl);
const questions = join(demo, 'vqa.jsonl');
const images = ['--images', join(demo, 'images')];
const device = ['--device', 'wasm', '--threads', '1'];

/** The rows of {@link questions}. */
async function rowsOf(): Promise<{ question_id: number; image: string }[]> {
  const lines = (await readFile(questions, 'utf8')).trim().split('\n');
  return lines.map((line) => JSON.parse(line) as { question_id: number; image: string });
}

async function answersIn(out: string): Promise<AnswerLine[]> {
  const text = await readFile(join(out, 'vqa/answers.jsonl'), 'utf8').catch(() => '');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1).trim();
  return whole === '' ? [] : whole.split('\n').map((line) => JSON.parse(line) as AnswerLine);
}

/** Starts a run and stops it by a signal once it has some answers. */
async function stopped(
  out: string,
  signal: NodeJS.Signals,
): Promise<{ code: number | null; stderr: string }> {
  const { child, done } = start(node, [cli, 'eval', questions, ...images, '--out', out, ...device]);
  while (child.exitCode === null && (await answersIn(out)).length < 10) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  child.kill(signal);
  return done;
}

test('the demo benchmark, out of the box: figures of each task', async () => {
  const done = await run('eval', '--limit', '4', '--json', ...device);
  expect(done).toMatchObject({ code: 0, stderr: '' });
  const report = JSON.parse(done.stdout) as Report;
  const manifest = JSON.parse(await readFile(join(demo, 'benchmark.json'), 'utf8')) as {
    name: string;
    tasks: { name: string }[];
  };
  expect(report).toMatchObject({
    format: 'llava-sp-eval-1',
    benchmark: manifest.name,
    limit: 4,
    model: {
      name: 'llava-sp-demo',
      architecture: 'LLaVA-SP-Cropping',
      quantisation: '4 bits in groups of 32',
    },
    machine: { device: 'wasm', threads: 1, precision: null },
  });
  expect(report.model.sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(report.tasks.map(({ name, questions: asked, errors }) => [name, asked, errors])).toEqual(
    manifest.tasks.map(({ name }) => [name, 4, 0]),
  );
});

test('killed in the middle of a line, it goes on where it was, and ends as if it had not been', async () => {
  await withFiles({}, async (folder) => {
    const out = join(folder, 'out');
    await stopped(out, 'SIGKILL');
    const before = await answersIn(out);
    expect(before.length).toBeGreaterThanOrEqual(10);
    const rows = await rowsOf();
    expect(before.length).toBeLessThan(rows.length);
    const { appendFile } = await import('node:fs/promises');
    await appendFile(join(out, 'vqa/answers.jsonl'), '{"question_id": 99, "prompt": "Ho');
    const done = await run('eval', questions, ...images, '--out', out, ...device);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    const after = await answersIn(out);
    expect(after.map(({ question_id: id }) => id)).toEqual(rows.map(({ question_id: id }) => id));
    // Those that were there were not asked again: their times are the same.
    for (const line of before)
      expect(after.find(({ question_id: id }) => id === line.question_id)).toEqual(line);
    expect(done.stdout).toMatch(/^# vqa: llava-sp-demo/);
    expect(await readFile(join(out, 'report.md'), 'utf8')).toBe(done.stdout);
    const report = JSON.parse(await readFile(join(out, 'report.json'), 'utf8')) as Report;
    const [{ figures }] = report.tasks;
    expect(figures.accuracy.n).toBe(rows.length);
    expect(figures.accuracy.value).toBeGreaterThanOrEqual(floorOf('vqa', 'accuracy', rows.length));

    // The answers score the same without a model.
    const scored = await run('eval', questions, '--answers', join(out, 'vqa/answers.jsonl'), '--json');
    expect((JSON.parse(scored.stdout) as Report).tasks[0].figures).toEqual(figures);

    const refused = await run('eval', questions, '--out', out, '--suffix', 'One word.', ...device);
    expect(refused.code).toBe(3);
    expect(refused.stderr).toMatch(
      /another suffix of the task vqa: null, not One word\..*\[OUTPUT_NOT_EMPTY\]/s,
    );

    const compared = await run('eval', '--compare', join(out, 'report.json'), join(out, 'report.json'));
    expect(compared.code).toBe(0);
    expect(compared.stdout.split('\n')[0]).toMatch(/^\| model +\| vqa: accuracy \|$/);
  });
});

test('Ctrl-C ends it with 130, and says what is kept', async () => {
  await withFiles({}, async (folder) => {
    const out = join(folder, 'out');
    const { code, stderr } = await stopped(out, 'SIGINT');
    expect(code).toBe(130);
    expect(stderr).toMatch(/^\d+ answers are kept in .*; the same command goes on\.$/m);
    expect((await answersIn(out)).length).toBeGreaterThanOrEqual(10);
  });
});

test('questions that could not be asked: the report is there, and the exit code says so', async () => {
  const [{ image: there }] = await rowsOf();
  const rows = [there, 'gone.png'].map((image, i) => ({
    question_id: i + 1,
    image,
    text: 'How many objects are there?',
    answer: '3',
  }));
  await withFiles({ 'q.jsonl': rows }, async (folder) => {
    const done = await run('eval', join(folder, 'q.jsonl'), ...images, ...device);
    expect(done.code).toBe(1);
    expect(done.stderr).toMatch(/FILE_UNREADABLE.*gone\.png/);
    expect(done.stdout).toMatch(/1 questions could not be asked/);
  });
});

describe('wrong usage', () => {
  test.each<[string[], RegExp]>([
    [['--limit', '0'], /--limit wants a whole number above 0/],
    [['--metric', 'acc'], /--metric wants one of pope, vqa/],
    [['--box', 'x'], /--box wants one of xywh, xyxy/],
    [['--prompt', 'Where?'], /--prompt wants a text with \{phrase\}/],
    [['--temperature', '1'], /it takes no --temperature/],
    [[join(demo, 'vqa.jsonl'), '--metric', 'none'], /vqa has no truth to score by: --out DIR/],
    [['--compare', 'a.json'], /wants two reports or more/],
    [['--answers', 'a.jsonl'], /of one file of questions, not of \d tasks/],
  ])('%j', async (args, message) => {
    const done = await run('eval', ...args);
    expect(done.code).toBe(2);
    expect(done.stderr).toMatch(message);
  });

  test('a file that is not there', async () => {
    const done = await run('eval', 'nothing-here.jsonl', '--json');
    expect(done.code).toBe(3);
    expect(JSON.parse(done.stdout)).toMatchObject({ error: { code: 'FILE_UNREADABLE' } });
  });
});
