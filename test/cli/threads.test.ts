/** Threads that die, and processes that end: nothing hangs, nothing is left unhandled. */
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { load, type LlavaSpError, type Model } from '@llava-sp/node';
import { imagePath, modelPath } from '../support/models.ts';
import { node, start } from './run.ts';

const NAME = 'cropping';
const image = imagePath(NAME);
/** Milliseconds; a hang is longer than any of these takes on a busy machine. */
const LIMIT = 20_000;

/** Node tells of every thread that is started: the tests get hold of those behind a model. */
let threads: Worker[] = [];
const unhandled: unknown[] = [];
const onWorker = (worker: Worker): void => void threads.push(worker);
const onUnhandled = (reason: unknown): void => void unhandled.push(reason);

beforeEach(() => {
  threads = [];
  process.on('worker', onWorker);
  process.on('unhandledRejection', onUnhandled);
});

afterEach(() => {
  process.off('worker', onWorker);
  process.off('unhandledRejection', onUnhandled);
  expect(unhandled).toEqual([]);
});

async function codeOf(work: Promise<unknown>): Promise<string> {
  const late = new Promise<string>((resolve) => setTimeout(() => resolve('it hangs'), LIMIT).unref());
  const settled = work.then(
    () => 'it succeeded',
    (error: LlavaSpError) => error.code,
  );
  return Promise.race([settled, late]);
}

/** Resolves once the thread is gone. */
function gone(worker: Worker): Promise<boolean> {
  if (worker.threadId === -1) return Promise.resolve(true);
  return new Promise((resolve) => {
    worker.once('exit', () => resolve(true));
    setTimeout(() => resolve(false), LIMIT).unref();
  });
}

const deaths: [string, (worker: Worker) => void][] = [
  ['ends from outside', (worker) => void worker.terminate()],
  // What no coordinator sends: the thread can't even answer it, and dies of an uncaught error.
  ['dies of an error', (worker) => worker.postMessage(null)],
];

describe.each(deaths)('a thread that %s', (_what, kill) => {
  test.each([0, 1])(
    'thread %i while it decodes: one clear error for all questions, then and later',
    async (rank) => {
      const model: Model = await load(modelPath(NAME), { threads: 2 });
      expect(threads).toHaveLength(2);
      const exits = threads.map(gone);
      const running = model.ask(image, 'Where is the red star?', { maxTokens: 230 });
      const waiting = model.ask(image, 'And the blue ring?', { maxTokens: 5 });
      for await (const piece of { [Symbol.asyncIterator]: () => running[Symbol.asyncIterator]() }) {
        if (!piece) continue;
        kill(threads[rank]);
        break;
      }
      // The break above cancelled the first one, and the death may come before or after that is heard.
      expect(['WORKER_FAILED', 'it succeeded']).toContain(await codeOf(running.text()));
      expect(await codeOf(waiting.text())).toBe('WORKER_FAILED');
      expect(await codeOf(model.ask(image, 'Still there?').text())).toBe('WORKER_FAILED');
      expect(await codeOf(model.look(image))).toBe('WORKER_FAILED');
      expect(await codeOf(model.memory())).toBe('WORKER_FAILED');
      // The other thread waited for it at a barrier: it is stopped too.
      expect(await Promise.all(exits)).toEqual([true, true]);
      await model.dispose();
      expect(await codeOf(model.ask(image, 'And now?').text())).toBe('MODEL_DISPOSED');
    },
  );

  test('while it decodes, with the error in the answer that runs', async () => {
    const model = await load(modelPath(NAME), { threads: 2 });
    const running = model.ask(image, 'Where is the red star?', { maxTokens: 230 });
    const death = (async () => {
      for await (const piece of running) {
        if (!piece || threads.length === 0) continue;
        kill(threads[1]);
        threads = [];
      }
    })();
    expect(await codeOf(death)).toBe('WORKER_FAILED');
    expect(await codeOf(running.text())).toBe('WORKER_FAILED');
    await model.dispose();
  });

  test('while the model is idle: the next question says so', async () => {
    const model = await load(modelPath(NAME), { threads: 2 });
    const exits = threads.map(gone);
    kill(threads[1]);
    await exits[1];
    expect(await codeOf(model.ask(image, 'Where is it?').text())).toBe('WORKER_FAILED');
    expect(await Promise.all(exits)).toEqual([true, true]);
    await model.dispose();
  });

  test('while the model is loaded: load fails and stops the others', async () => {
    const exits: Promise<boolean>[] = [];
    const loading = load(modelPath(NAME), {
      threads: 2,
      onProgress({ phase }) {
        if (phase !== 'weights' || exits.length > 0) return;
        exits.push(...threads.map(gone));
        kill(threads[1]);
      },
    });
    expect(await codeOf(loading)).toBe('WORKER_FAILED');
    expect(await Promise.all(exits)).toEqual([true, true]);
  });
});

describe('a process', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const opening = `
    process.chdir(${JSON.stringify(root)});
    const { load } = await import(${JSON.stringify(import.meta.resolve('@llava-sp/node'))});
    const model = await load(${JSON.stringify(modelPath(NAME))}, { threads: 2 });
    const image = ${JSON.stringify(image)};
  `;
  const script = (body: string) => start(node, ['--input-type=module', '--eval', opening + body]).done;

  const endings: [string, string, string][] = [
    [
      'after dispose',
      `console.log((await model.ask(image, 'Where is the red star?', { maxTokens: 3 }).text()).length > 0); await model.dispose();`,
      'true\n',
    ],
    [
      'without dispose, when the model is idle',
      `console.log((await model.ask(image, 'Where is the red star?', { maxTokens: 3 }).text()).length > 0);`,
      'true\n',
    ],
    [
      'once an answer that nobody waits for is done',
      `const a = model.ask(image, 'Where is the red star?', { maxTokens: 20 }); process.on('exit', () => console.log(a.usage.completionTokens));`,
      '20\n',
    ],
    [
      'with answers that fail and nobody listens to',
      `model.ask('nowhere.png', 'Where is the red star?'); model.ask(image, ''); model.ask(image, 'Where is the red star?', { signal: AbortSignal.timeout(5) });
       model.ask(image, 'Where is the red star?', { maxTokens: 200 }); setTimeout(() => model.dispose(), 30);`,
      '',
    ],
    [
      'with a thread that died under an answer that nobody listens to',
      `model.ask(image, 'Where is the red star?', { maxTokens: 200 }); model.ask(image, 'Where is the red star?'); setTimeout(() => threads[1].terminate(), 30);`,
      '',
    ],
  ];
  test.each(endings)('ends by itself %s', async (_what, body, stdout) => {
    const watch = `const threads = []; process.on('worker', (worker) => threads.push(worker));`;
    const done = await start(node, ['--input-type=module', '--eval', watch + opening + body]).done;
    expect(done).toEqual({ stdout, stderr: '', code: 0, signal: null });
  });

  test('the check above can fail: an unhandled rejection shows', async () => {
    const done = await script(`Promise.reject(new Error('nobody listens')); await model.dispose();`);
    expect(done.code).toBe(1);
    expect(done.stderr).toMatch(/nobody listens/);
  });
});
