/** `llava-sp convert` and `llava-sp inspect`, built: what they print, exit codes, Ctrl-C. */
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cli, node, run, start } from '../cli/run.ts';

const published = (path: string) => fileURLToPath(new URL(`../golden/published/${path}`, import.meta.url));
const lora = [
  published('lora-pooling/adapter'),
  '--base',
  published('lora-pooling/base'),
  '--vision-tower',
  published('lora-pooling/vision-tower'),
];
const threads = ['--threads', '1'];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'llava-sp-convert-cli-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Report {
  readonly parts: Readonly<
    Record<string, { format: string; bitsPerWeight: number; error: number } | undefined>
  >;
  readonly leftover: readonly string[];
  readonly shards: readonly { file: string; sha256: string }[];
}

describe('convert', () => {
  it('makes a folder that answers, and says what became of each part', async () => {
    const out = join(folder, 'plain');
    const done = await run('convert', ...lora, '--out', out, ...threads);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toMatch(/pooling, N = 3/);
    for (const line of [/vision +q8/, /llm +q4/, /sfe +q4/, /embeddings +q8/])
      expect(done.stdout).toMatch(line);
    const image = published('lora-pooling/golden/image.png');
    const asked = await run(
      'ask',
      image,
      'What is it?',
      '--model',
      out,
      '--max-tokens',
      '4',
      ...threads,
      '--json',
    );
    expect(asked.code).toBe(0);
    expect(JSON.parse(asked.stdout)).toMatchObject({ usage: { completionTokens: 4 } });
  });

  it('takes the format of every part, and --json is the whole report', async () => {
    const out = join(folder, 'formats');
    const formats = ['--llm', 'f16', '--sfe', 'q8', '--vision', 'f16', '--embeddings', 'q4', '--group', '32'];
    const done = await run('convert', ...lora, '--out', out, ...formats, ...threads, '--json');
    expect(done).toMatchObject({ code: 0, stderr: '' });
    const report = JSON.parse(done.stdout) as Report;
    expect(report.parts.llm).toMatchObject({ format: 'f16' });
    expect(report.parts.llm?.error).toBeLessThan(1e-3);
    expect(report.parts.sfe?.bitsPerWeight).toBe(9);
    expect(report.parts.embeddings?.bitsPerWeight).toBe(5);
    expect(report.leftover.some((name) => name.startsWith('text_model.'))).toBe(true);
    for (const { file, sha256 } of report.shards) {
      const found = createHash('sha256').update(await readFile(join(out, file)));
      expect(sha256).toBe(found.digest('hex'));
    }
  });

  it('calibrates by pictures of a folder, or by questions of a file', async () => {
    const model = fileURLToPath(new URL('../golden/cropping', import.meta.url));
    const pictures = join(folder, 'pictures');
    await mkdir(pictures);
    await cp(join(model, 'image.png'), join(pictures, 'one.png'));
    await writeFile(join(pictures, 'question.jsonl'), '{"image": "one.png", "text": "What is it?"}\n\n');
    const convert = async (name: string, path: string): Promise<Report> => {
      const out = join(folder, name);
      const done = await run('convert', model, '--out', out, '--calibrate', path, ...threads, '--json');
      expect(done).toMatchObject({ code: 0, stderr: '' });
      return JSON.parse(done.stdout) as Report;
    };
    const described = await convert('described', pictures);
    const asked = await convert('asked', join(pictures, 'question.jsonl'));
    expect(asked.parts.llm?.format).toBe('q4');
    expect(asked.shards[0].sha256).not.toBe(described.shards[0].sha256);
    await writeFile(join(pictures, 'broken.jsonl'), '{"image": "one.png"}\n');
    for (const [path, words] of [
      [join(pictures, 'broken.jsonl'), /broken\.jsonl:1 has no "image" and "text"/],
      [join(pictures, 'missing'), /there is no/],
    ] as const) {
      const failed = await run('convert', model, '--out', join(folder, 'no'), '--calibrate', path);
      expect(failed.code).toBe(2);
      expect(failed.stderr).toMatch(words);
    }
  });

  it('ends with 2 for a wrong line, with 3 for what can not be converted', async () => {
    const cases: [code: number, words: RegExp, ...args: string[]][] = [
      [2, /--out/, published('internvl2/model')],
      [2, /one published folder/, '--out', join(folder, 'none')],
      [2, /--group wants a number/, ...lora, '--out', join(folder, 'none'), '--group', 'many'],
      [3, /OPTION_INVALID/, ...lora, '--out', join(folder, 'none'), '--llm', 'q3'],
      [3, /MODEL_NOT_FOUND/, join(folder, 'absent'), '--out', join(folder, 'none')],
      [3, /MODEL_FILE_MISSING/, lora[0], '--out', join(folder, 'none')],
      [3, /OUTPUT_NOT_EMPTY/, ...lora, '--out', published('internvl2')],
      [3, /OPTION_INVALID/, published('internvl2/model'), '--out', published('internvl2/model')],
    ];
    for (const [code, words, ...args] of cases) {
      const done = await run('convert', ...args, ...threads);
      expect({ code: done.code, stdout: done.stdout }).toEqual({ code, stdout: '' });
      expect(done.stderr).toMatch(words);
    }
    expect(await readdir(folder)).not.toContain('none');
  });

  it('ends with 130 at once on Ctrl-C, and the same line goes on', async () => {
    const model = await largeModel();
    const out = join(folder, 'interrupted');
    const args = ['convert', model, '--out', out, ...threads];
    /** Starts it, and ends it as soon as there is a file of this name. */
    const interrupt = async (signal: NodeJS.Signals, ending: string) => {
      const { child, done } = start(node, [cli, ...args]);
      const written = async () => (await readdir(out).catch(() => [])).some((name) => name.endsWith(ending));
      while (child.exitCode === null && !(await written()))
        await new Promise((resolve) => setTimeout(resolve, 10));
      child.kill(signal);
      return done;
    };
    const { code, stderr } = await interrupt('SIGINT', 'conversion.json');
    expect(code).toBe(130);
    expect(stderr).toMatch(/ABORTED/);
    const left = await readdir(out);
    expect(left).toContain('conversion.json');
    expect(left.filter((name) => name.endsWith('.partial'))).toEqual([]);
    expect(left).not.toContain('config.json');
    expect(await interrupt('SIGKILL', '.partial')).toMatchObject({ signal: 'SIGKILL' });
    expect((await run(...args)).code).toBe(0);
    expect((await readdir(out)).filter((name) => /conversion|partial/.test(name))).toEqual([]);
  });
});

/**
 * A published model that takes a second or two: one with a vocabulary of zeros, which take no room on the disk.
 */
async function largeModel(): Promise<string> {
  const model = join(folder, 'large');
  await cp(published('llava-hf-old/model'), model, { recursive: true });
  const path = join(model, 'model.safetensors');
  const bytes = await readFile(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const config = JSON.parse(await readFile(join(model, 'config.json'), 'utf8')) as {
    text_config: { vocab_size: number };
  };
  const vocab = 1_500_000;
  let end = bytes.length - 8 - length;
  const tables = Object.entries(header).filter(([name]) => /embed_tokens|lm_head/.test(name));
  expect(tables.length).toBe(2);
  for (const [name, { dtype, shape, data_offsets }] of tables) {
    // The old rows are left behind, under a name that nothing needs.
    header[`unused.${name}`] = { dtype, shape, data_offsets };
    const size = vocab * shape[1] * (dtype === 'F32' ? 4 : 2);
    header[name] = { dtype, shape: [vocab, shape[1]], data_offsets: [end, end + size] };
    end += size;
  }
  config.text_config.vocab_size = vocab;
  await writeFile(join(model, 'config.json'), JSON.stringify(config));
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  const file = await open(path, 'w');
  await file.writeFile(Buffer.concat([size, json, bytes.subarray(8 + length)]));
  await file.truncate(8 + json.length + end);
  await file.close();
  return model;
}

describe('inspect', () => {
  it('tells a published folder, an on-device one and a single file', async () => {
    const whole = await run('inspect', published('internvl2-sp/model'), '--json');
    expect(whole).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(whole.stdout)).toMatchObject({ kind: 'published', needs: { context: 512 } });

    const out = join(folder, 'inspected');
    expect((await run('convert', published('internvl2-sp/model'), '--out', out, ...threads)).code).toBe(0);
    const made = await run('inspect', out);
    expect(made.code).toBe(0);
    expect(made.stdout).toMatch(/layout +on-device/);
    expect(made.stdout).toMatch(/\.scales +F16/);
    expect(made.stdout).toMatch(/KV cache of 512 tokens/);

    const file = await run('inspect', published('lora-cropping/adapter/non_lora_trainables.bin'));
    expect(file.code).toBe(0);
    expect(file.stdout).toMatch(/cropping, N = 6/);
    expect(file.stdout).toMatch(/conv_CM\.weight/);
  });

  it('ends with 2 without a source and with 3 without a file', async () => {
    expect((await run('inspect')).code).toBe(2);
    const absent = await run('inspect', join(folder, 'absent'), '--json');
    expect(absent.code).toBe(3);
    expect(JSON.parse(absent.stdout)).toMatchObject({ error: { code: 'MODEL_NOT_FOUND' } });
  });
});
