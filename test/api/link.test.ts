/** The link to a worker, message by message: what comes late, what never comes, and what crosses. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { loadRemote, type PageSide } from '../../packages/core/src/api/remote/client.ts';
import type { FromWorker, ToWorker } from '../../packages/core/src/api/remote/protocol.ts';
import { packSource, unpackSource } from '../../packages/core/src/api/remote/protocol.ts';
import { serveModel } from '../../packages/core/src/api/remote/server.ts';
import type { Model } from '../../packages/core/src/api/model.ts';
import type { LoadOptions } from '../../packages/core/src/api/options.ts';
import {
  AbortedError,
  ArgumentError,
  DeviceError,
  LlavaSpError,
  LoadError,
  UnsupportedError,
} from '../../packages/core/src/errors/index.ts';
import { packError, unpackError } from '../../packages/core/src/errors/wire.ts';
import type { WorkerPort } from '../../packages/core/src/host.ts';
import { createTestHost } from '../support/host.ts';

type Sent = Extract<ToWorker, { id: number }>;

/** A worker that says what the test says. */
class FakeWorker implements WorkerPort {
  readonly sent: ToWorker[] = [];
  ended = 0;
  #hear: (message: unknown) => void = () => undefined;
  die: (error: unknown) => void = () => undefined;

  post(message: unknown, transfer: ArrayBuffer[] = []): void {
    this.sent.push(structuredClone(message, { transfer }) as ToWorker);
  }

  onMessage(listener: (message: unknown) => void): void {
    this.#hear = listener;
  }

  onError(listener: (error: unknown) => void): void {
    this.die = listener;
  }

  terminate(): Promise<void> {
    this.ended++;
    return Promise.resolve();
  }

  say(message: FromWorker): void {
    this.#hear(structuredClone(message));
  }

  last<T extends ToWorker['type']>(type: T): Extract<ToWorker, { type: T }> {
    const found = this.sent.findLast((message) => message.type === type);
    if (!found) throw new Error(`no ${type} was sent`);
    return found as Extract<ToWorker, { type: T }>;
  }

  done(type: Sent['type'], value: unknown): void {
    this.say({ type: 'done', id: this.last(type).id, value });
  }
}

const pixels = (): { data: Uint8Array; width: number; height: number } => ({
  data: new Uint8Array(12),
  width: 2,
  height: 2,
});

async function open(
  options: LoadOptions = {},
  page: PageSide = {},
): Promise<{ worker: FakeWorker; model: Model }> {
  const worker = new FakeWorker();
  const loading = loadRemote(worker, 'somewhere', options, page);
  worker.done('load', { name: 'a model', warnings: [] });
  return { worker, model: await loading };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('a model behind a worker', () => {
  test('lets go of a picture that was looked at too late', async () => {
    const { worker, model } = await open();
    const controller = new AbortController();
    const looking = model.look(pixels(), { signal: controller.signal });
    controller.abort();
    await expect(looking).rejects.toBeInstanceOf(AbortedError);
    expect(worker.last('abort').id).toBe(worker.last('look').id);
    worker.done('look', { id: 7 });
    expect(worker.last('release').scene).toBe(7);
  });

  test('hears nothing more of an answer that was stopped', async () => {
    const { worker, model } = await open();
    const answer = model.ask(pixels(), 'What?');
    const { id } = worker.last('answer');
    const figures = {
      usage: { promptTokens: 5, imageTokens: 3, cachedTokens: 0, completionTokens: 1 },
      timings: { queued: 0, image: 0, vision: 0, prefill: 0, decode: 0, total: 1, tokensPerSecond: 0 },
    };
    const state = { ...figures, finishReason: null, picture: null, explanation: null };
    worker.say({ type: 'event', id, event: { type: 'state', state } });
    worker.say({ type: 'event', id, event: { type: 'piece', piece: { text: 'a star' }, ...figures } });
    answer.cancel();
    worker.say({ type: 'event', id, event: { type: 'piece', piece: { text: ' and more' }, ...figures } });
    worker.done('answer', { state, said: null });
    expect(await answer.text()).toBe('a star');
    expect(answer.finishReason).toBe('cancelled');
    expect(answer.usage).toEqual(figures.usage);
  });

  test('sends pictures by transfer of a copy, and late ones when they are there', async () => {
    const slow = {};
    const lost = {};
    const readPixels = (image: object) =>
      image === slow
        ? Promise.resolve(pixels())
        : image === lost
          ? Promise.reject(new LoadError({ code: 'FILE_UNREADABLE', message: 'm', fix: 'f' }))
          : null;
    const { worker, model } = await open({}, { readPixels });
    const answers = [pixels(), slow, lost].map((image) => model.ask(image as never, 'x').text());
    const failed = expect(answers[2]).rejects.toMatchObject({ code: 'FILE_UNREADABLE' });
    const asked = worker.sent.filter((message) => message.type === 'answer');
    const raw = { kind: 'raw', image: { width: 2, height: 2, data: new Uint8Array(12) } };
    expect(asked.map(({ image }) => image)).toEqual([raw, 'later', 'later']);
    await failed;
    expect(worker.last('image')).toEqual({ type: 'image', id: asked[1].id, image: raw });
    expect(worker.last('abort').id).toBe(asked[2].id);
    // A question that is refused at once leaves no rejection behind that nobody handles.
    await expect(model.ask(lost as never, 'x', { signal: AbortSignal.abort() }).text()).rejects.toThrow();
    const disposed = expect(Promise.all(answers.slice(0, 2))).rejects.toMatchObject({
      code: 'MODEL_DISPOSED',
    });
    const disposing = model.dispose();
    worker.done('dispose', undefined);
    await Promise.all([disposing, disposed]);
  });

  test('keeps what the worker warns of', async () => {
    const heard: string[] = [];
    const { worker, model } = await open({ onWarning: ({ code }) => heard.push(code) });
    const warning = { code: 'DEVICE_RECOVERED', message: 'x' } as const;
    const info = { ...model.info, warnings: [warning] };
    worker.say({ type: 'warning', warning, info });
    expect(heard).toEqual(['DEVICE_RECOVERED']);
    expect(model.info.warnings).toEqual([warning]);
  });

  test('ends a worker that does not answer any more', async () => {
    const { worker, model } = await open();
    const memory = expect(model.memory()).rejects.toMatchObject({ code: 'MODEL_DISPOSED' });
    vi.useFakeTimers();
    const disposing = model.dispose();
    await memory;
    expect(worker.ended).toBe(0);
    await vi.advanceTimersByTimeAsync(6000);
    await disposing;
    expect(worker.ended).toBe(1);
  });

  test('does not wait for a worker that dies while it is disposed of', async () => {
    const { worker, model } = await open();
    const disposing = model.dispose();
    worker.die(new Error('gone'));
    await disposing;
    expect(worker.ended).toBe(1);
  });

  test('passes on why a worker could not start', async () => {
    const worker = new FakeWorker();
    const loading = loadRemote(worker, 'somewhere');
    const why = new DeviceError({ code: 'WORKER_FAILED', message: 'blocked', fix: 'Allow it.' });
    worker.die(why);
    await expect(loading).rejects.toBe(why);
    expect(worker.ended).toBe(1);
  });

  test('refuses options that can not be sent', async () => {
    const options = { download: { parallel: () => 3 } } as never;
    await expect(loadRemote(new FakeWorker(), 'somewhere', options)).rejects.toMatchObject({
      code: 'OPTION_INVALID',
    });
    await expect(loadRemote(new FakeWorker(), 'x', null as never)).rejects.toMatchObject({
      code: 'OPTION_INVALID',
    });
    await expect(loadRemote(new FakeWorker(), 'x', { onProgress: 3 as never })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
    });
  });
});

describe('a worker', () => {
  test('answers every request, also where its answer can not be sent', async () => {
    const heard: FromWorker[] = [];
    let tell: (message: unknown) => void = () => undefined;
    const scope = {
      onMessage: (listener: typeof tell) => void (tell = listener),
      post(message: unknown) {
        const reply = message as FromWorker;
        if (reply.type === 'done' && reply.id === 2) structuredClone(() => undefined);
        heard.push(reply);
      },
    };
    serveModel(scope, createTestHost());
    for (const message of [{ type: 'memory' }, { type: 'dispose' }, { type: 'dispose' }]) {
      const id = heard.length + 1;
      tell({ ...message, id });
      // Not from within the call: it would be off the list of what runs before it is on it.
      expect(heard).toHaveLength(id - 1);
      await vi.waitFor(() => expect(heard).toHaveLength(id));
    }
    expect(heard).toMatchObject([
      { type: 'failed', id: 1, error: { message: 'no model is loaded in this worker' } },
      { type: 'failed', id: 2, error: { message: expect.stringContaining('could not be cloned') as string } },
      { type: 'done', id: 3 },
    ]);
  });
});

describe('what crosses', () => {
  test('errors of every family', () => {
    const details = { code: 'IMAGE_INVALID', message: 'm', fix: 'f', cause: new TypeError('why') } as const;
    for (const family of [ArgumentError, UnsupportedError, LoadError, DeviceError]) {
      const back = unpackError(structuredClone(packError(new family(details))));
      expect(back).toBeInstanceOf(family);
      expect(back).toMatchObject({
        code: 'IMAGE_INVALID',
        message: 'm',
        fix: 'f',
        cause: { message: 'why' },
      });
    }
    const aborted = unpackError(packError(new AbortedError('enough')));
    expect(aborted).toBeInstanceOf(AbortedError);
    expect(aborted.cause).toMatchObject({ message: 'enough' });
    const plain = unpackError(packError(new RangeError('other')));
    expect(plain).not.toBeInstanceOf(LlavaSpError);
    expect(plain.message).toBe('other');
    // Of causes without end, only the first.
    const endless = new Error('again');
    endless.cause = endless;
    expect(JSON.stringify(packError(endless)).match(/again/g)).toHaveLength(5);
  });

  test.each<[string, Parameters<typeof packSource>[0]]>([
    ['a path', 'models/x'],
    ['a URL', new URL('https://example.org/x/')],
    ['a hub', { hub: 'owner/name', revision: 'main' }],
    [
      'addresses of files',
      { 'config.json': new URL('https://example.org/a'), b: new URL('https://example.org/b') },
    ],
    ['Blobs by name', new Map([['config.json', new Blob(['{}'])]])],
  ])('%s as a source', (_, source) => {
    const back = unpackSource(structuredClone(packSource(source)));
    expect(back).toEqual(source);
    expect(back instanceof URL).toBe(source instanceof URL);
  });
});
