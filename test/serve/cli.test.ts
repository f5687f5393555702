/** `llava-sp serve`, as built: its flags, and how it ends. */
import { createServer, type AddressInfo } from 'node:net';
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { cli, node, run, start, type Running } from '../cli/run.ts';
import { about, MODEL, scene } from './support.ts';

const WHERE = 'Where is the red star?';

/** Starts the server on a free port, and gives its address once it listens. */
async function serve(...args: string[]): Promise<Running & { url: string }> {
  let heard: (url: string) => void = () => undefined;
  const url = new Promise<string>((resolve) => (heard = resolve));
  const flags = ['serve', '--port', '0', '--threads', '1', ...args];
  const running = start(node, [cli, ...flags], (text) => heard(/at (http:\S+)/.exec(text)?.[1] ?? text));
  const ended = running.done.then(({ stderr }) => {
    throw new Error(`it ended before it listened: ${stderr}`);
  });
  return { ...running, url: await Promise.race([url, ended]) };
}

describe('a stopped server', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'by %s: answers end, and so does the process, with 0',
    async (name) => {
      const { child, done, url } = await serve();
      const client = new OpenAI({ baseURL: url, apiKey: 'any', maxRetries: 0 });
      const messages = about(scene, 'Describe the image.');
      const stream = await client.chat.completions.create({ model: MODEL, messages, stream: true });
      let reason: string | null = null;
      let text = '';
      for await (const { choices } of stream) {
        // Once: a second signal ends the process, and with it the answer, at once.
        if (!child.killed) child.kill(name);
        text += choices[0].delta.content ?? '';
        reason = choices[0].finish_reason;
      }
      expect(text).toMatch(/\.$/);
      expect(reason).toBe('stop');
      const { code, stderr } = await done;
      expect(code, stderr).toBe(0);
      expect(stderr).toMatch(/POST \/v1\/chat\/completions 200, /);
      await expect(client.models.list()).rejects.toBeInstanceOf(OpenAI.APIConnectionError);
    },
  );
});

test('the key may come from the environment; the log is quiet when asked', async () => {
  process.env.LLAVA_SP_API_KEY = 'of the environment';
  const { child, done, url } = await serve(
    '--quiet',
    '--model',
    'packages/demo-model/model',
    '--max-queue',
    '0',
  ).finally(() => delete process.env.LLAVA_SP_API_KEY);
  const wrong = new OpenAI({ baseURL: url, apiKey: 'another', maxRetries: 0 });
  await expect(wrong.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  const client = new OpenAI({ baseURL: url, apiKey: 'of the environment', maxRetries: 0 });
  // Of a folder, its name.
  expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['model']);
  const { choices } = await client.chat.completions.create({ model: 'model', messages: about(scene, WHERE) });
  expect(choices[0].message.content).toMatch(/^\[0/);
  child.kill('SIGTERM');
  expect(await done).toMatchObject({ code: 0, stderr: '' });
});

test.each([
  [['x'], 'takes no arguments'],
  [['--port', '70000'], '--port wants'],
  [['--port', 'x'], '--port wants'],
  [['--max-queue', '1.5'], '--max-queue wants'],
  [['--max-body', '0'], '--max-body wants'],
  [['--api-key', ''], '--api-key is empty'],
  [['--cors', 'page'], '--cors wants'],
])('%j is wrong usage', async (args, message) => {
  const { code, stderr } = await run('serve', ...args);
  expect(code).toBe(2);
  expect(stderr).toContain(message);
});

test('a port that is taken is an error that says what to do', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => other.once('listening', done));
  const { port } = other.address() as AddressInfo;
  const { code, stdout } = await run('serve', '--port', String(port), '--threads', '1', '--json');
  other.close();
  expect(code).toBe(3);
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'ADDRESS_UNAVAILABLE' } });
});
