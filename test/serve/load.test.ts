/** Two hundred requests, twenty at a time, of which some go away: each gets its own answer, and memory stays flat. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Model } from '@llava-sp/node';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Service } from '../../packages/llava-sp/src/serve/server.ts';
import { Random } from '../support/random.ts';
import {
  about,
  clientOf,
  loadDemo,
  MODEL,
  readQuestions,
  startService,
  until,
  type Asked,
} from './support.ts';

const SEED = 23;
const REQUESTS = 200;
const AT_ONCE = 20;
/** Of all requests, those that end before their answer. */
const LEAVING = 0.3;
/** Bytes behind the end of each picture, which nobody reads: what were kept of a request would show. */
const PADDING = Buffer.alloc(90_000, 'x');
/**
 * Bytes that heap and process may grow by in a round, whose pictures have 20 MB. The allocator takes some tens of MB in the first
 * rounds, and none later.
 */
const [HEAP_SLACK, RSS_SLACK] = [6 << 20, 64 << 20];

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

let model: Model;
let service: Service;
let questions: Asked[];

beforeAll(async () => {
  model = await loadDemo();
  service = await startService(model);
  questions = await readQuestions();
});

afterAll(async () => {
  await service?.close();
  await model?.dispose();
});

interface Counts {
  whole: number;
  left: number;
}

/** One request: its answer must be `expected`; one that leaves early has a beginning of it. */
async function ask(client: OpenAI, index: number, expected: string, random: Random): Promise<keyof Counts> {
  const { image, question } = questions[index];
  const stream = random.uniform() < 0.5;
  const leaves = random.uniform() < LEAVING;
  const controller = new AbortController();
  const time = random.uniform() * 400;
  const timer = leaves ? setTimeout(() => controller.abort(), time) : undefined;
  const request = { model: MODEL, messages: about(Buffer.concat([image, PADDING]), question, 'image/jpeg') };
  const { signal } = controller;
  let text = '';
  try {
    if (stream) {
      for await (const { choices } of await client.chat.completions.create(
        { ...request, stream },
        { signal },
      )) {
        text += choices[0].delta.content ?? '';
      }
    } else {
      const { choices } = await client.chat.completions.create(request, { signal });
      text = choices[0].message.content ?? '';
    }
  } catch (error) {
    if (!(error instanceof OpenAI.APIUserAbortError)) throw error;
  } finally {
    clearTimeout(timer);
  }
  if (!signal.aborted) {
    expect(text, question).toBe(expected);
    return 'whole';
  }
  expect(expected.startsWith(text), `${question}: ${text}`).toBe(true);
  return 'left';
}

async function round(answers: readonly string[], seed: number): Promise<Counts> {
  const random = new Random(seed);
  const client = clientOf(service);
  const counts = { whole: 0, left: 0 };
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < REQUESTS) {
      const index = next++ % answers.length;
      counts[await ask(client, index, answers[index], random)]++;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await until(() => service.load.requests === 0);
  expect(service.load.bytes).toBe(0);
  return counts;
}

/** Bytes, when nothing is left to collect. */
async function used(): Promise<{ heap: number; rss: number }> {
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((done) => setTimeout(done, 50));
  }
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage();
  return { heap: heapUsed + external + arrayBuffers, rss };
}

test(`${REQUESTS} requests, ${AT_ONCE} at a time (seed ${SEED})`, async () => {
  const answers: string[] = [];
  // One after another, and not through the server.
  for (const { image, question } of questions) answers.push(await model.ask(image, question).text());
  expect(new Set(answers).size).toBeGreaterThan(20);
  await round(answers, SEED);
  const before = await used();
  const start = performance.now();
  const counts = await round(answers, SEED + 1);
  const seconds = (performance.now() - start) / 1000;
  const after = await used();
  const mb = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
  console.log(
    `${counts.whole} answered, ${counts.left} left, in ${seconds.toFixed(1)} s; heap ${mb(after.heap - before.heap)} MiB, process ${mb(after.rss - before.rss)} MiB`,
  );
  expect(counts.whole + counts.left).toBe(REQUESTS);
  expect(counts.left).toBeGreaterThan(REQUESTS / 10);
  expect(after.heap - before.heap).toBeLessThan(HEAP_SLACK);
  expect(after.rss - before.rss).toBeLessThan(RSS_SLACK);
});
