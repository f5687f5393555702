/** The command line, built: what goes to stdout and stderr, exit codes, Ctrl-C, closed pipes. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { goldenOf, imagePath, modelPath, withCopy, editJson } from '../support/models.ts';
import type { Golden } from '../support/golden.ts';
import { putValue } from '../api/damage.ts';
import { cli, node, run, start } from './run.ts';

const NAME = 'cropping';
const image = imagePath(NAME);
/** One thread: the suite runs beside others. */
const model = ['--model', modelPath(NAME), '--threads', '1'];
let golden: Golden;

beforeAll(async () => {
  golden = await goldenOf(NAME);
});

interface ErrorJson {
  readonly error: { readonly code: string; readonly message: string; readonly fix: string | null };
}

/** With --json an error is one object on stdout too. */
function errorOf(stdout: string): ErrorJson['error'] {
  return (JSON.parse(stdout) as ErrorJson).error;
}

describe('ask', () => {
  test('prints the answer alone on stdout, and statistics on stderr', async () => {
    const done = await run('ask', image, golden.question, ...model, '--max-tokens', '32', '--stats');
    expect(done).toMatchObject({ stdout: `${golden.answer}\n`, code: 0 });
    expect(done.stderr).toMatch(/model +LLaVA-SP-Cropping on wasm, 1 threads/);
    expect(done.stderr).toMatch(/32 out, ended by length/);
  });

  test('writes nothing on stderr without --stats, for no terminal watches', async () => {
    const done = await run('ask', image, golden.question, ...model, '--max-tokens', '32');
    expect(done).toMatchObject({ stdout: `${golden.answer}\n`, stderr: '', code: 0 });
  });

  test('--json is one object with the answer and what it took', async () => {
    const done = await run('ask', image, golden.question, ...model, '--max-tokens', '32', '--json');
    expect(done).toMatchObject({ stderr: '', code: 0 });
    const result = JSON.parse(done.stdout) as Record<string, unknown>;
    expect(result).toMatchObject({
      answer: golden.answer,
      usage: { completionTokens: 32, imageTokens: 150 },
      finishReason: 'length',
      info: { model: 'LLaVA-SP-Cropping', backend: 'wasm', threads: 1 },
    });
  });

  test('streams: the text comes in pieces, as it is decoded', async () => {
    const times: number[] = [];
    const { done } = start(node, [cli, 'ask', image, golden.question, ...model, '--max-tokens', '200'], () =>
      times.push(performance.now()),
    );
    const { code, stdout } = await done;
    expect(code).toBe(0);
    expect(stdout.startsWith(golden.answer.slice(0, 40))).toBe(true);
    // Two hundred tokens: many pieces, at times of their own.
    expect(times.length).toBeGreaterThan(10);
    expect(times[times.length - 1] - times[0]).toBeGreaterThan(10);
  });

  test('a reader that has seen enough ends it quietly', async () => {
    const command = `"$0" "$@" | head -c 1; echo "\${PIPESTATUS[0]}" >&2`;
    const args = [cli, 'ask', image, golden.question, ...model, '--max-tokens', '200'];
    const { stdout, stderr } = await start('bash', ['-c', command, node, ...args]).done;
    expect(stdout).toHaveLength(1);
    expect(stderr).toBe('0\n');
  });
});

describe('Ctrl-C', () => {
  test('during decoding ends with 130 in time, and keeps what was said', async () => {
    let pressed = 0;
    const running = start(node, [cli, 'ask', image, golden.question, ...model, '--max-tokens', '230'], () => {
      if (pressed === 0) running.child.kill('SIGINT');
      pressed ||= performance.now();
    });
    const { code, signal, stdout, stderr } = await running.done;
    // A second, and as much again for a machine that is busy with other suites.
    expect(performance.now() - pressed).toBeLessThan(2000);
    expect({ code, signal }).toEqual({ code: 130, signal: null });
    expect(stdout.length).toBeLessThan(200);
    expect(golden.answer.startsWith(stdout.slice(0, 5))).toBe(true);
    expect(stderr).toMatch(/ABORTED/);
  });

  test('during loading ends with 130', async () => {
    const running = start(node, [cli, 'info', ...model]);
    // Node is up and has installed its handler when the threads' kernels are probed.
    await new Promise((resolve) => setTimeout(resolve, 1200));
    running.child.kill('SIGINT');
    const { code, signal, stdout } = await running.done;
    // Before its handler stands, Node ends by the signal itself; a shell shows 130 for that as well.
    expect(code === 130 || signal === 'SIGINT' || (code === 0 && stdout.includes('loaded'))).toBe(true);
  });
});

describe('exit codes', () => {
  const usage: [string, string[], RegExp][] = [
    ['no arguments', [], /a command is missing/],
    ['an unknown command', ['look'], /no command "look"/],
    ['an unknown flag', ['ask', '--colour'], /--colour/],
    ['a flag without its value', ['ask', 'a', 'b', '--model'], /model/],
    ['a picture without a question', ['ask', image], /a question/],
    ['a question without quotes', ['ask', image, 'Where', 'is', 'it?'], /quotes/],
    ['info with an argument', ['info', 'x'], /no arguments/],
    ['threads that are no number', ['ask', image, 'What?', '--threads', 'many'], /--threads/],
    ['an empty number', ['ask', image, 'What?', '--max-tokens', ''], /--max-tokens/],
  ];
  test.each(usage)('2 for %s', async (_what, args, message) => {
    const done = await run(...args, '--json');
    expect(done.code).toBe(2);
    const error = errorOf(done.stdout);
    expect(error.code).toBe('USAGE');
    expect(error.message).toMatch(message);
    expect(done.stderr.startsWith(`llava-sp: ${error.message}\n\nllava-sp: look at a picture`)).toBe(true);
  });

  const input: [string, () => string[], number, string][] = [
    ['a missing picture', () => ['ask', 'nowhere.png', 'What?', ...model], 3, 'FILE_UNREADABLE'],
    ['a picture that is none', () => ['ask', cli, 'What?', ...model], 4, 'IMAGE_UNSUPPORTED_FORMAT'],
    ['an empty question', () => ['ask', image, '', ...model], 3, 'PROMPT_EMPTY'],
    [
      'an option out of range',
      () => ['ask', image, 'What?', ...model, '--temperature=-1'],
      3,
      'OPTION_INVALID',
    ],
    ['too many tokens', () => ['ask', image, 'What?', ...model, '--max-tokens', '999'], 3, 'CONTEXT_FULL'],
    ['a missing model', () => ['info', '--model', 'nowhere'], 3, 'MODEL_NOT_FOUND'],
    ['an unknown device', () => ['info', ...model, '--device', 'gpu'], 3, 'OPTION_INVALID'],
    ['an unknown precision', () => ['info', ...model, '--precision', 'f8'], 3, 'OPTION_INVALID'],
  ];
  test.each(input)('of %s', async (_what, args, code, name) => {
    const done = await run(...args(), '--json');
    expect(done.code, done.stderr).toBe(code);
    const error = errorOf(done.stdout);
    expect(error.code).toBe(name);
    expect(error.message).not.toBe('');
    expect(done.stderr).toBe(`llava-sp: ${error.message}\n  ${error.fix} [${name}]\n`);
  });

  test('4 for a device that is not there', async () => {
    // The Vulkan loader finds no driver, and Dawn prints warnings of its own about it.
    const before = process.env.VK_ICD_FILENAMES;
    process.env.VK_ICD_FILENAMES = '/dev/null';
    try {
      const done = await run('info', ...model, '--device', 'webgpu', '--json');
      expect(done.code, done.stderr).toBe(4);
      expect(errorOf(done.stdout)).toMatchObject({ code: 'BACKEND_UNAVAILABLE' });
      expect(done.stderr).toMatch(/has no adapter.*\n.*\[BACKEND_UNAVAILABLE\]\n$/);
    } finally {
      if (before === undefined) delete process.env.VK_ICD_FILENAMES;
      else process.env.VK_ICD_FILENAMES = before;
    }
  });

  test('3 for a missing file of the model, in words alone without --json', async () => {
    await withCopy(
      NAME,
      (folder) => rm(join(folder, 'tokenizer.json')),
      async (folder) => {
        const done = await run('ask', image, golden.question, '--model', folder);
        expect(done).toMatchObject({ code: 3, stdout: '' });
        expect(done.stderr).toMatch(/lacks tokenizer\.json.*\n {2}.*\[MODEL_FILE_MISSING\]\n$/);
      },
    );
  });

  test('4 for an unknown architecture', async () => {
    await withCopy(
      NAME,
      (folder) => editJson(folder, 'config.json', (config) => (config.architectures = ['Other'])),
      async (folder) => {
        const done = await run('info', '--model', folder);
        expect(done).toMatchObject({ code: 4, stdout: '' });
        expect(done.stderr).toMatch(/ARCHITECTURE_UNKNOWN/);
      },
    );
  });

  test('5 for a device whose results are not finite', async () => {
    await withCopy(
      NAME,
      (folder) => putValue(folder, 'language_model.model.norm.weight', 3e38, 'all'),
      async (folder) => {
        const done = await run('ask', image, golden.question, '--model', folder, '--threads', '1');
        expect(done).toMatchObject({ code: 5, stdout: '' });
        expect(done.stderr).toMatch(/LOGITS_NOT_FINITE/);
      },
    );
  });
});

describe('info and help', () => {
  test('info says what runs', async () => {
    const done = await run('info', ...model);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toMatch(/12 x 12 patches, 150 visual tokens/);
    expect(done.stdout).toMatch(/^threads: 1 \(asked for\)$/m);
    expect(done.stdout).toMatch(/^kernels: (relaxed|simd) \(measured at load/m);
  });

  test('info --json parses', async () => {
    const done = await run('info', ...model, '--json');
    expect(done.code).toBe(0);
    const info = JSON.parse(done.stdout) as { name: string; memory: { total: number } };
    expect(info.name).toBe('LLaVA-SP-Cropping');
    expect(info.memory.total).toBeGreaterThan(1e6);
  });

  test.each([['--help'], ['help'], ['-h']])('%s documents every exit code', async (flag) => {
    const done = await run(flag);
    expect(done).toMatchObject({ code: 0, stderr: '' });
    for (const code of ['0 answered', '1 failed', '2 wrong', '3 image', '4 not', '5 device', '130 inter']) {
      expect(done.stdout).toContain(code);
    }
  });

  test('--version', async () => {
    const done = await run('--version');
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
  });
});
