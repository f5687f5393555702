/** The server, asked by OpenAI's own client. */
import { readFile } from 'node:fs/promises';
import OpenAI from 'openai';
import { AbortedError, Answer, DeviceError, type Model } from '@llava-sp/node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Service } from '../../packages/llava-sp/src/serve/server.ts';
import {
  about,
  at,
  clientOf,
  dataUrl,
  loadDemo,
  MODEL,
  occupy,
  scene,
  startService,
  until,
} from './support.ts';

const WHERE = 'Where is the red star?';
let model: Model;
let service: Service;
let client: OpenAI;
const lines: string[] = [];

beforeAll(async () => {
  model = await loadDemo();
  service = await startService(model, { maxQueue: 3, log: (line) => lines.push(line) });
  client = clientOf(service);
});

afterAll(async () => {
  await service?.close();
  await model?.dispose();
});

describe('an answer', () => {
  test('is that of the model, with its usage', async () => {
    const asked = model.ask(scene, WHERE);
    const expected = await asked.text();
    const completion = await client.chat.completions.create({ model: MODEL, messages: about(scene, WHERE) });
    expect(completion).toMatchObject({
      object: 'chat.completion',
      model: MODEL,
      choices: [
        { index: 0, finish_reason: 'stop', message: { role: 'assistant', content: expected, refusal: null } },
      ],
      usage: {
        prompt_tokens: asked.usage.promptTokens,
        completion_tokens: asked.usage.completionTokens,
        total_tokens: asked.usage.promptTokens + asked.usage.completionTokens,
      },
    });
    expect(expected).toMatch(/^\[0\.\d\d/);
    expect(completion.id).toMatch(/^chatcmpl-/);
    expect(completion.created).toBeCloseTo(Date.now() / 1000, -2);
    expect(completion._request_id).toMatch(/^req_/);
  });

  test('comes in pieces when it is streamed, with its usage at the end', async () => {
    const expected = await model.ask(scene, WHERE).text();
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages: about(scene, WHERE),
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    const last = chunks.pop();
    expect(last).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) as number } });
    expect(chunks.every((chunk) => chunk.usage === null && chunk.id === last?.id)).toBe(true);
    expect(chunks[0].choices[0].delta).toEqual({ role: 'assistant', content: '' });
    expect(chunks.at(-1)?.choices[0]).toMatchObject({ delta: {}, finish_reason: 'stop' });
    const pieces = chunks.map(({ choices }) => choices[0].delta.content ?? '').filter(Boolean);
    expect(pieces.length).toBeGreaterThan(3);
    expect(pieces.join('')).toBe(expected);
  });

  test('without stream_options no chunk speaks of usage', async () => {
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages: about(scene, WHERE),
      stream: true,
    });
    for await (const chunk of stream) {
      expect(chunk.choices).toHaveLength(1);
      expect(chunk).not.toHaveProperty('usage');
    }
  });

  test('the client collects a stream to the same message', async () => {
    const runner = client.chat.completions.stream({ model: MODEL, messages: about(scene, WHERE) });
    expect(await runner.finalContent()).toBe(await model.ask(scene, WHERE).text());
  });

  test.each(['max_tokens', 'max_completion_tokens'])('%s bounds it', async (name) => {
    const completion = await client.chat.completions.create({
      model: MODEL,
      messages: about(scene, 'Describe the image.'),
      [name]: 3,
    });
    expect(completion.choices[0].finish_reason).toBe('length');
    expect(completion.usage?.completion_tokens).toBe(3);
  });

  test('stop strings end it', async () => {
    const completion = await client.chat.completions.create({
      model: MODEL,
      messages: about(scene, WHERE),
      stop: ',',
    });
    expect(completion.choices[0].message.content).toMatch(/^\[0\.\d\d$/);
    expect(completion.choices[0].finish_reason).toBe('stop');
  });

  test('temperature, top_p and seed are those of the model', async () => {
    const sampling = { temperature: 1.8, topP: 0.98 };
    const expected = await Promise.all(
      [1, 2, 3, 4].map((seed) => model.ask(scene, 'Describe the image.', { ...sampling, seed }).text()),
    );
    expect(new Set(expected).size).toBeGreaterThan(1);
    for (const [i, text] of expected.entries()) {
      const completion = await client.chat.completions.create({
        model: MODEL,
        messages: about(scene, 'Describe the image.'),
        temperature: 1.8,
        top_p: 0.98,
        seed: i + 1,
      });
      expect(completion.choices[0].message.content).toBe(text);
    }
  });

  test.each([
    ['turned.jpg', 'image/jpeg'],
    ['wide.webp', 'image/webp'],
  ])('the picture may be %s', async (file, type) => {
    const bytes = await readFile(at(`examples/images/${file}`));
    const completion = await client.chat.completions.create({
      model: MODEL,
      messages: [
        {
          role: 'user',
          content: [{ type: 'image_url', image_url: { url: dataUrl(bytes, type), detail: 'low' } }],
        },
        { role: 'user', content: 'Describe the image.' },
      ],
    });
    const turns = [
      { role: 'user', content: [{ type: 'image' }] },
      { role: 'user', content: 'Describe the image.' },
    ] as const;
    const expected = await model.ask(bytes, turns).text();
    expect(expected).not.toBe('');
    expect(completion.choices[0].message.content).toBe(expected);
  });

  test('fields of OpenAI that change nothing here are ignored', async () => {
    const completion = await client.chat.completions.create({
      model: MODEL,
      messages: about(scene, WHERE),
      n: 1,
      user: 'someone',
      store: false,
      metadata: { any: 'thing' },
      presence_penalty: 0,
      logit_bias: {},
      tools: [],
      response_format: { type: 'text' },
    });
    expect(completion.choices[0].message.content).toBe(await model.ask(scene, WHERE).text());
  });
});

describe('a conversation', () => {
  test('goes on about the picture of its first question', async () => {
    const first = about(scene, 'Describe the image.');
    const text = (await client.chat.completions.create({ model: MODEL, messages: first })).choices[0].message
      .content;
    const messages = [
      ...first,
      { role: 'assistant', content: text } as const,
      { role: 'user', content: WHERE } as const,
    ];
    const second = await client.chat.completions.create({ model: MODEL, messages });
    expect(second.choices[0].message.content).toMatch(/^\[0\.\d\d, 0\.\d\d, 0\.\d\d, 0\.\d\d\]$/);
    expect(second.usage?.prompt_tokens).toBeGreaterThan(
      (await client.chat.completions.create({ model: MODEL, messages: about(scene, WHERE) })).usage
        ?.prompt_tokens ?? Infinity,
    );
    // The picture was not looked at again.
    expect(second.usage?.prompt_tokens_details?.cached_tokens).toBeGreaterThan(100);
  });

  test('may carry the same picture with every question', async () => {
    const [first, second] = [about(scene, 'Describe the image.')[0], about(scene, WHERE)[0]];
    const messages = [first, { role: 'assistant', content: 'A red star.' } as const, second];
    const completion = await client.chat.completions.create({ model: MODEL, messages });
    expect(completion.choices[0].message.content).toMatch(/^\[0/);
  });

  test('has one picture', async () => {
    const other = await readFile(at('examples/images/tall.png'));
    const messages = [...about(scene, WHERE), ...about(other, WHERE)];
    const error = await failure({ messages });
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ status: 400, code: 'too_many_images', param: 'messages[1].content[0]' });
    const none = await failure({ messages: [{ role: 'user', content: WHERE }] });
    expect(none).toMatchObject({ status: 400, code: 'IMAGE_MISSING', type: 'invalid_request_error' });
  });
});

/** The error that a request gives. */
async function failure(fields: object): Promise<InstanceType<typeof OpenAI.APIError>> {
  const request = { model: MODEL, messages: about(scene, WHERE), ...fields };
  const error: unknown = await client.chat.completions.create(request).catch((cause: unknown) => cause);
  if (!(error instanceof OpenAI.APIError)) throw new Error(`no error of the API: ${JSON.stringify(error)}`);
  return error;
}

describe('a format', () => {
  const ask = async (
    question: string,
    format: OpenAI.ChatCompletionCreateParams['response_format'],
  ): Promise<unknown> => {
    const { choices } = await client.chat.completions.create({
      model: MODEL,
      messages: about(scene, question),
      response_format: format,
      max_tokens: 80,
    });
    expect(choices[0].finish_reason).toBe('stop');
    return JSON.parse(choices[0].message.content ?? '');
  };

  test('json_schema: the answer is valid by it', async () => {
    const schema = {
      type: 'object',
      properties: {
        colour: { enum: ['red', 'green', 'blue'] },
        // Bounded: numbers may go on for ever.
        box: {
          type: 'array',
          items: { type: 'integer', minimum: 0, maximum: 999 },
          minItems: 4,
          maxItems: 4,
        },
      },
      required: ['colour', 'box'],
      additionalProperties: false,
    };
    const answer = await ask(WHERE, {
      type: 'json_schema',
      json_schema: { name: 'thing', strict: true, schema },
    });
    expect(answer).toEqual({
      colour: expect.stringMatching(/^(red|green|blue)$/) as string,
      box: expect.any(Array) as number[],
    });
    const { box } = answer as { box: unknown[] };
    expect(box.map((value) => typeof value)).toEqual(['number', 'number', 'number', 'number']);
  });

  test('a stream is valid by its schema', async () => {
    const schema = {
      type: 'object',
      properties: { there: { type: 'boolean' } },
      required: ['there'],
      additionalProperties: false,
    };
    const runner = client.chat.completions.stream({
      model: MODEL,
      messages: about(scene, 'Is there a red star?'),
      response_format: { type: 'json_schema', json_schema: { name: 'there', strict: true, schema } },
    });
    expect(JSON.parse((await runner.finalContent()) ?? '')).toEqual({
      there: expect.any(Boolean) as boolean,
    });
  });

  test('json_object: the answer is an object', async () => {
    // Greedy, the model would go on for ever; the length of the answer is no matter here.
    const { choices } = await client.chat.completions.create({
      model: MODEL,
      messages: about(scene, WHERE),
      response_format: { type: 'json_object' },
      max_tokens: 30,
    });
    expect(choices[0].message.content).toMatch(/^\{/);
  });

  test.each([
    [{ type: 'json_schema', json_schema: { name: 'x' } }, 'invalid_value'],
    [{ type: 'json_schema', json_schema: { name: 'x', schema: { type: 'king' } } }, 'FORMAT_INVALID'],
    [{ type: 'json_schema', json_schema: { name: 'x', schema: { not: {} } } }, 'FORMAT_INVALID'],
    [{ type: 'json_schema', json_schema: { name: 'x', schema: { $ref: '#/%' } } }, 'FORMAT_INVALID'],
    [
      {
        type: 'json_schema',
        json_schema: {
          name: 'x',
          schema: { $defs: { a: { type: 'array', items: { $ref: '#/$defs/a' } } }, $ref: '#/$defs/a' },
        },
      },
      'FORMAT_INVALID',
    ],
  ])('%j', async (format, code) => {
    const error = await failure({ response_format: format });
    expect(error).toMatchObject({ status: 400, code, param: 'response_format' });
  });

  test('a schema that doubles at each level is refused soon', async () => {
    const part = (i: number): object =>
      i === 29
        ? { type: 'integer' }
        : { anyOf: [{ $ref: `#/$defs/${i + 1}` }, { $ref: `#/$defs/${i + 1}` }] };
    const $defs = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [i, part(i)]));
    const start = performance.now();
    const schema = { $defs, $ref: '#/$defs/0' };
    const error = await failure({
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
    });
    expect(error).toMatchObject({ status: 400, code: 'FORMAT_INVALID' });
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  test('probabilities of the tokens come as logprobs, whole and streamed', async () => {
    const request = { model: MODEL, messages: about(scene, WHERE), logprobs: true };
    const { choices } = await client.chat.completions.create(request);
    const content = choices[0].logprobs?.content ?? [];
    expect(
      content
        .map(({ token }) => token)
        .join('')
        .trim(),
    ).toBe(choices[0].message.content);
    for (const { logprob } of content) expect(logprob).toBeLessThanOrEqual(0);
    expect(content.some(({ logprob }) => logprob < -0.001)).toBe(true);
    const streamed: OpenAI.ChatCompletionTokenLogprob[] = [];
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      streamed.push(...(chunk.choices[0].logprobs?.content ?? []));
    }
    expect(streamed).toEqual(content);
  });
});

describe('what is refused', () => {
  test.each([
    ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }],
    ['n', { n: 2 }],
    ['top_logprobs', { top_logprobs: 3 }],
    ['logit_bias', { logit_bias: { 5: 10 } }],
    ['frequency_penalty', { frequency_penalty: 0.5 }],
    ['presence_penalty', { presence_penalty: -1 }],
    ['modalities', { modalities: ['text', 'audio'] }],
    ['response_format', { response_format: { type: 'grammar' } }],
    ['messages[0].role', { messages: [{ role: 'tool', content: 'x', tool_call_id: 'y' }] }],
    [
      'messages[0].content[0]',
      { messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: {} }] }] },
    ],
  ])('%s: it would change the answer', async (param, fields) => {
    const error = await failure(fields);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ param, code: 'unsupported_parameter', type: 'invalid_request_error' });
  });

  test.each([
    ['max_tokens', { max_tokens: 0 }],
    ['max_tokens', { max_tokens: 5, max_completion_tokens: 6 }],
    ['max_completion_tokens', { max_completion_tokens: 1.5 }],
    ['temperature', { temperature: 3 }],
    ['temperature', { temperature: '1' }],
    ['top_p', { top_p: -0.1 }],
    ['seed', { seed: 0.5 }],
    ['stop', { stop: ['a', 'b', 'c', 'd', 'e'] }],
    ['stop', { stop: [1] }],
    ['stream', { stream: 'yes' }],
    ['stream_options', { stream_options: { include_usage: true } }],
    ['messages', { messages: [] }],
    ['messages', { messages: [...about(scene, WHERE), { role: 'assistant', content: 'x' }] }],
    ['messages[0]', { messages: ['hello'] }],
    ['messages[0].role', { messages: [{ role: 'king', content: 'x' }] }],
    ['messages[0].content', { messages: [{ role: 'user', content: 5 }] }],
    ['messages[0].content[0]', { messages: [{ role: 'user', content: [{ type: 'text' }] }] }],
    [
      'messages[0].content[0]',
      {
        messages: [{ role: 'system', content: [{ type: 'image_url', image_url: { url: dataUrl(scene) } }] }],
      },
    ],
  ])('%s: it is wrong', async (param, fields) => {
    expect(await failure(fields)).toMatchObject({ status: 400, param, code: 'invalid_value' });
  });

  test.each([
    ['no picture', 'data:image/png;base64,aGVsbG8=', 'IMAGE_UNSUPPORTED_FORMAT'],
    ['a damaged one', dataUrl(scene.subarray(0, 2000)), 'IMAGE_DECODE_FAILED'],
    ['base64 that is none', 'data:image/png;base64,%%%', 'invalid_image_url'],
    ['no base64', 'data:image/svg+xml,<svg/>', 'invalid_image_url'],
    ['text', 'data:text/plain;base64,aGVsbG8=', 'invalid_image_url'],
    ['a file', 'file:///etc/passwd', 'invalid_image_url'],
    ['a path', '/etc/passwd', 'invalid_image_url'],
    ['an address', 'http://127.0.0.1:1/x.png', 'image_url_not_allowed'],
  ])('a picture that is %s', async (_, url, code) => {
    const messages = [
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url } },
          { type: 'text', text: 'What?' },
        ],
      },
    ];
    expect(await failure({ messages })).toMatchObject({ status: 400, code });
    expect(await failure({ messages, stream: true })).toMatchObject({ status: 400, code });
  });

  test('more tokens than the context has', async () => {
    expect(await failure({ max_tokens: 5000 })).toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
    });
    const long = about(scene, 'word '.repeat(3000));
    expect(await failure({ messages: long })).toMatchObject({ status: 400, code: 'context_length_exceeded' });
  });

  test('another model', async () => {
    const error = await failure({ model: 'gpt-4o' });
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ code: 'model_not_found', param: 'model' });
    await expect(client.models.retrieve('gpt-4o')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });
});

test('models are listed', async () => {
  const models = [];
  for await (const one of client.models.list()) models.push(one);
  expect(models).toEqual([
    { id: MODEL, object: 'model', created: expect.any(Number) as number, owned_by: 'llava-sp' },
  ]);
  expect(await client.models.retrieve(MODEL)).toEqual(models[0]);
});

describe('who goes away', () => {
  test('in the middle of a stream takes the work with them', async () => {
    lines.length = 0;
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages: about(scene, 'Describe the image.'),
      temperature: 2,
      seed: 3,
      stream: true,
    });
    for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
    await until(() => lines.length === 1 && service.load.requests === 0);
    expect(service.load.bytes).toBe(0);
  });

  test('while they wait never reaches the model', async () => {
    const { release, done } = occupy(model);
    const leaving = new AbortController();
    const waiting = client.chat.completions.create(
      { model: MODEL, messages: about(scene, WHERE) },
      { signal: leaving.signal },
    );
    await until(() => service.load.requests === 1);
    lines.length = 0;
    leaving.abort();
    await expect(waiting).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
    // Its place is free before the one in front is done.
    await until(() => service.load.requests === 0);
    expect(lines.join()).toContain('client gone, ');
    release();
    await done;
  });
});

test('the queue is bounded; the client comes again by itself', async () => {
  const { release, done } = occupy(model);
  const ask = (): Promise<OpenAI.ChatCompletion> =>
    client.chat.completions.create({ model: MODEL, messages: about(scene, WHERE) });
  const waiting = [ask(), ask(), ask(), ask()];
  await until(() => service.load.requests === 4);
  const error = await failure({});
  expect(error).toBeInstanceOf(OpenAI.RateLimitError);
  expect(error).toMatchObject({ status: 429, code: 'queue_full' });
  expect(Number(error.headers?.get('retry-after'))).toBeGreaterThanOrEqual(1);
  const patient = clientOf(service, 'any', 5).chat.completions.create({
    model: MODEL,
    messages: about(scene, WHERE),
  });
  setTimeout(release, 100);
  const answers = await Promise.all([...waiting, patient]);
  expect(new Set(answers.map(({ choices }) => choices[0].message.content))).toEqual(new Set([await done]));
});

describe('the end', () => {
  test('answers that take longer than the server waits are cancelled, in words', async () => {
    const own = await startService(model);
    const { release, done } = occupy(model);
    const waiting = [false, true].map((stream) =>
      clientOf(own)
        .chat.completions.create({ model: MODEL, messages: about(scene, WHERE), stream })
        .catch((error: unknown) => error),
    );
    await until(() => own.load.requests === 2);
    const closed = own.close(100);
    for (const error of await Promise.all(waiting)) {
      expect(error).toBeInstanceOf(OpenAI.InternalServerError);
      expect(error).toMatchObject({ status: 503, code: 'closing' });
    }
    await closed;
    release();
    await done;
  });

  test('a stream that is cancelled says so at its end', async () => {
    // It goes on until it is stopped.
    const endless: ConstructorParameters<typeof Answer>[0] = (listener, signal) => {
      listener.emit({ text: 'A' });
      return new Promise((_, fail) => {
        signal.addEventListener('abort', () => fail(new AbortedError(signal.reason)));
      });
    };
    const own = await startService({
      ask: (_image, _prompt, options) => new Answer(endless, options?.signal),
    });
    const stream = await clientOf(own).chat.completions.create({
      model: MODEL,
      messages: about(scene, WHERE),
      stream: true,
    });
    const read = async (): Promise<string> => {
      let text = '';
      for await (const { choices } of stream) text += choices[0].delta.content ?? '';
      return text;
    };
    const reading = read();
    await until(() => own.load.requests === 1);
    await own.close(50);
    await expect(reading).rejects.toMatchObject({ code: 'closing' });
  });

  test('a model that can not answer any more is reported once, and by /health', async () => {
    const failures: string[] = [];
    const own = await startService(
      {
        ask: () => {
          throw new DeviceError({ code: 'WORKER_FAILED', message: 'A thread ended.', fix: 'Load it again.' });
        },
      },
      { onFailure: ({ code }) => failures.push(code) },
    );
    for (let i = 0; i < 2; i++) {
      const error: unknown = await clientOf(own)
        .chat.completions.create({ model: MODEL, messages: about(scene, WHERE) })
        .catch((cause: unknown) => cause);
      expect(error).toMatchObject({ status: 500, code: 'WORKER_FAILED' });
    }
    expect(failures).toEqual(['WORKER_FAILED']);
    const health = await fetch(own.url.replace('/v1', '/health'));
    expect([health.status, await health.json()]).toEqual([
      503,
      { status: 'failed', model: MODEL, requests: 0 },
    ]);
    await own.close();
  });
});

test('the log has one line a request, and nothing of what was said', async () => {
  lines.length = 0;
  await client.chat.completions.create({ model: MODEL, messages: about(scene, WHERE) });
  await failure({ model: 'other' });
  await until(() => lines.length === 2);
  expect(lines[0]).toMatch(
    /^\d{4}-\S+Z POST \/v1\/chat\/completions 200, \d+ ms, \d+ ms queued, \d+ \+ \d+ tokens, stop$/,
  );
  expect(lines[1]).toMatch(/ 404, \d+ ms, model_not_found$/);
  expect(lines.join()).not.toContain('star');
});
