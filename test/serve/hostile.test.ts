/** Bodies, connections and hosts that mean no good. The server answers them in time, and others as before. */
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import type { Model } from '@llava-sp/node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isPublic } from '../../packages/llava-sp/src/serve/images.ts';
import type { Service } from '../../packages/llava-sp/src/serve/server.ts';
import { Random } from '../support/random.ts';
import { about, clientOf, loadDemo, MODEL, scene, startService, until } from './support.ts';

const WHERE = 'Where is the red star?';
const COMPLETIONS = '/chat/completions';
const MAX_BODY = 310_000;
/** Bytes that a picture begins with which does not end: eight of them leave room for little else. */
const SLOW = 308_500;
let model: Model;
let service: Service;
let expected: string;

beforeAll(async () => {
  model = await loadDemo();
  expected = await model.ask(scene, WHERE).text();
  service = await startService(model, { maxBody: MAX_BODY, headTime: 400, bodyTime: 700 });
});

afterAll(async () => {
  await service?.close();
  await model?.dispose();
});

async function works(own = service, key?: string): Promise<void> {
  const completion = await clientOf(own, key).chat.completions.create({
    model: MODEL,
    messages: about(scene, WHERE),
  });
  expect(completion.choices[0].message.content).toBe(expected);
}

/** What the server says to raw bytes until it closes the connection. `later` follows, a piece every 100 ms. */
function raw(text: string | Uint8Array, later: readonly string[] = [], own = service): Promise<string> {
  const { port } = new URL(own.url);
  return new Promise((done, fail) => {
    const socket = connect(Number(port), '127.0.0.1');
    let answer = '';
    const rest = [...later];
    const timer = setInterval(() => {
      const piece = rest.shift();
      if (piece !== undefined) socket.write(piece);
    }, 100);
    const limit = setTimeout(() => fail(new Error(`no end within 10 s: ${answer}`)), 10_000);
    socket.on('data', (data: Buffer) => (answer += data.toString()));
    // What is written to a closed connection; the answer has come by then.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearInterval(timer);
      clearTimeout(limit);
      done(answer);
    });
    socket.write(text);
  });
}

const head = (lines: readonly string[], path = '/v1/chat/completions'): string =>
  [`POST ${path} HTTP/1.1`, 'Host: localhost', 'Content-Type: application/json', ...lines, '', ''].join(
    '\r\n',
  );

async function post(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
  own = service,
) {
  const response = await fetch(own.url + COMPLETIONS, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  });
  const { error } = (await response.json()) as { error: { message: string; type: string; code: string } };
  return { status: response.status, error };
}

describe('bodies', () => {
  test.each([
    ['nothing', ''],
    ['half of it', '{"model": "x", "messages": ['],
    ['no JSON', 'hello'],
    ['a list', '[]'],
    ['null', 'null'],
    ['a deep list', '['.repeat(100_000)],
    ['deep objects', `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`],
    ['a hundred thousand lists', `[${'[],'.repeat(100_000)}[]]`],
    ['a string without an end', `{"model": "${'\\"'.repeat(1000)}`],
    ['a prototype', '{"__proto__": {"messages": [], "model": "x"}}'],
    ['another prototype', '{"constructor": 5, "model": "x", "messages": {"length": 1}}'],
    [
      'a schema as messages',
      '{"model": "llava-sp-demo", "messages": [{"role": "user", "content": [[[[]]]]}]}',
    ],
  ])('%s is a 400', async (_, body) => {
    expect(await post(body)).toMatchObject({ status: 400, error: { type: 'invalid_request_error' } });
  });

  test('bytes that are no UTF-8 are a 400', async () => {
    expect(await post(Uint8Array.of(0x22, 0xff, 0xfe, 0x22))).toMatchObject({ status: 400 });
  });

  test('two thousand damaged requests are answered with an error or an answer', async () => {
    const random = new Random(11);
    const whole = JSON.stringify({
      model: MODEL,
      stream: true,
      max_tokens: 4,
      stop: ['x'],
      temperature: 0.5,
      messages: about(scene.subarray(0, 60), WHERE),
    });
    const codes = new Set<number>();
    const own = await startService({
      ask: () => {
        throw new Error('nobody gets here');
      },
    });
    const damaged = (): string => {
      const at = random.below(whole.length);
      const part = whole.slice(at, at + random.below(20));
      const put = random.pick([
        '',
        part,
        '"',
        '{',
        '}',
        '[',
        ']',
        '\\',
        ',',
        '1e999',
        'null',
        '-1',
        '\u0000',
        'é',
      ]);
      return whole.slice(0, at) + put + whole.slice(at + random.below(12));
    };
    for (let i = 0; i < 40; i++) {
      const all = await Promise.all(Array.from({ length: 50 }, () => post(damaged(), {}, own)));
      for (const { status, error } of all) {
        codes.add(status);
        expect(error.message).not.toBe('');
        // 500: the damage was harmless, and it came as far as the model.
        expect([400, 404, 429, 500]).toContain(status);
      }
    }
    expect([...codes].sort()).toEqual(expect.arrayContaining([400, 404, 500]));
    expect(own.load).toEqual({ requests: 0, bytes: 0 });
    await own.close();
  });

  test('more bytes than allowed are a 413, announced or not', async () => {
    const body = JSON.stringify({ model: 'x'.repeat(MAX_BODY) });
    expect(await post(body)).toMatchObject({ status: 413, error: { code: 'body_too_large' } });
    const chunked = head(['Transfer-Encoding: chunked']);
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    expect(await raw(chunked + chunk.repeat(5))).toMatch(/^HTTP\/1\.1 413 /);
    const endless = ['', ...Array.from({ length: 20 }, () => chunk.repeat(4))];
    expect(await raw(chunked, endless)).toMatch(/^HTTP\/1\.1 413 /);
    expect(await raw(head(['Content-Length: 99999999999', 'Expect: 100-continue']))).toMatch(
      /^HTTP\/1\.1 413 /,
    );
    expect(service.load.bytes).toBe(0);
    await works();
  });

  test('other types and encodings are a 415', async () => {
    expect(await post('{}', { 'content-type': 'text/plain' })).toMatchObject({ status: 415 });
    expect(await post('{}', { 'content-encoding': 'gzip' })).toMatchObject({ status: 415 });
  });
});

describe('connections', () => {
  test('a body that does not come ends with 408, and holds nobody up', async () => {
    const slow = Array.from({ length: 60 }, () =>
      raw(head(['Content-Length: 1000']), [...'{"model":'.repeat(20)]),
    );
    await works();
    for (const answer of await Promise.all(slow)) expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    await until(() => service.load.bytes === 0);
    expect(service.load.requests).toBe(0);
  });

  test('a head that does not come ends with 408', async () => {
    const slow = Array.from({ length: 20 }, () =>
      raw('POST /v1/chat/completions HTTP/1.1\r\n', [...'X-A: b']),
    );
    await works();
    for (const answer of await Promise.all(slow)) expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  });

  test.each([
    ['two lengths', ['Content-Length: 5', 'Content-Length: 6'], '{}'],
    ['a length and chunks', ['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
    ['a length that is none', ['Content-Length: 5x'], '{}'],
    ['a negative length', ['Content-Length: -5'], '{}'],
    ['an unknown transfer encoding', ['Transfer-Encoding: chunked, x'], '0\r\n\r\n'],
    ['a chunk that is none', ['Transfer-Encoding: chunked'], 'zz\r\n'],
    ['a bare line feed in a chunk', ['Transfer-Encoding: chunked'], '2\n{}\n0\n\n'],
    ['a name with a space', ['X Y: 1'], ''],
    ['a null byte', ['X: \0'], ''],
  ])('%s is a 400', async (_, lines, body) => {
    const answer = await raw(head(lines) + body);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).not.toMatch(/HTTP\/1\.1 2\d\d/);
  });

  test('what is no HTTP is a 400, and endless heads a 431', async () => {
    expect(await raw('hello\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    expect(await raw(Uint8Array.from({ length: 500 }, (_, i) => (i * 37) % 256))).toMatch(/^HTTP\/1\.1 400 /);
    expect(await raw(head([`X: ${'x'.repeat(100_000)}`]))).toMatch(/^HTTP\/1\.1 431 /);
    expect(await raw('GET /health HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    await works();
  });

  test('a connection that ends within the body leaves nothing behind', async () => {
    const { port } = new URL(service.url);
    const socket = connect(Number(port), '127.0.0.1', () => {
      socket.write(`${head(['Content-Length: 1000'])}{"model"`, () =>
        setTimeout(() => socket.resetAndDestroy(), 50),
      );
    });
    await new Promise((done) => socket.on('close', done));
    await until(() => service.load.bytes === 0);
    await works();
  });

  test('other addresses and methods are refused in the same words', async () => {
    const base = service.url.slice(0, -3);
    for (const [path, method, status] of [
      ['/', 'GET', 404],
      ['/v1/embeddings', 'POST', 404],
      ['/v1/chat/completions', 'GET', 405],
      ['/v1/models', 'POST', 405],
      ['/v1/models/..%2f..%2fetc', 'GET', 404],
      ['/v1/models/%zz', 'GET', 404],
      ['/health', 'DELETE', 405],
      ['/v1/chat/completions', 'OPTIONS', 405],
    ] as const) {
      const response = await fetch(base + path, { method });
      expect(response.status, path).toBe(status);
      expect(await response.json()).toMatchObject({ error: { code: expect.any(String) as string } });
      expect(response.headers.get('access-control-allow-origin')).toBeNull();
    }
    expect(await (await fetch(`${base}/health`)).json()).toEqual({ status: 'ok', model: MODEL, requests: 0 });
  });
});

describe('who may ask', () => {
  const asHost = (host: string, own = service): Promise<string> =>
    raw(`GET /v1/models HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`, [], own);

  test('on this machine alone: not a page whose name was given its address', async () => {
    for (const host of ['localhost', 'localhost:1234', '127.0.0.1:80', '127.8.9.1', '[::1]:9', 'LOCALHOST']) {
      expect(await asHost(host), host).toMatch(/^HTTP\/1\.1 200 /);
    }
    for (const host of [
      'evil.example',
      'localhost.evil.example',
      'evil.example:11435',
      '192.168.1.5',
      '',
      'a@localhost',
      'x/localhost',
    ]) {
      expect(await asHost(host), host).toMatch(/^HTTP\/1\.1 403 /);
    }
  });

  test('on a network: by an address or the name it was given, but by no other name', async () => {
    const own = await startService(model, { host: '0.0.0.0' });
    expect(await asHost('192.168.1.5:80', own)).toMatch(/^HTTP\/1\.1 200 /);
    expect(await asHost('localhost', own)).toMatch(/^HTTP\/1\.1 200 /);
    expect(await asHost('evil.example', own)).toMatch(/^HTTP\/1\.1 403 /);
    await own.close();
  });

  test('with a key: who has it', async () => {
    const own = await startService(model, { apiKey: 'the key' });
    await works(own, 'the key');
    for (const key of ['', 'the ke', 'the keyy', 'The key', 'x'.repeat(5000)]) {
      const error: unknown = await clientOf(own, key || 'none')
        .models.list()
        .catch((cause: unknown) => cause);
      expect(error).toMatchObject({ status: 401, code: 'invalid_api_key', type: 'authentication_error' });
      expect((error as Error).constructor.name).toBe('AuthenticationError');
    }
    for (const authorization of ['', 'Bearer', 'Basic the key', 'the key']) {
      const headers: Record<string, string> = authorization ? { authorization } : {};
      expect(await post('{}', headers, own)).toMatchObject({ status: 401 });
    }
    // The key is worth more than a name.
    expect((await fetch(`${own.url}/models`, { headers: { authorization: 'bearer  the key' } })).status).toBe(
      200,
    );
    await own.close();
  });

  test('with a key: /health tells those without it that the server is there, and no page that', async () => {
    const own = await startService(model, { apiKey: 'the key' });
    const health = async (lines: readonly string[]): Promise<string> =>
      raw(['GET /health HTTP/1.1', 'Connection: close', ...lines, '', ''].join('\r\n'), [], own);
    const open = await health(['Host: localhost']);
    expect(open).toMatch(/^HTTP\/1\.1 200 /);
    expect(open).toContain('"status":"ok"');
    expect(open).not.toContain(MODEL);
    expect(await health(['Host: evil.example'])).toMatch(/^HTTP\/1\.1 403 /);
    expect(await health(['Host: evil.example', 'Authorization: Bearer wrong'])).toMatch(/^HTTP\/1\.1 403 /);
    expect(await health(['Host: my.example', 'Authorization: Bearer the key'])).toContain(`"${MODEL}"`);
    await own.close();
  });

  test('pages of one origin, where that is wished', async () => {
    const own = await startService(model, { cors: 'http://page.example' });
    const preflight = (origin: string): Promise<Response> =>
      fetch(own.url + COMPLETIONS, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization,content-type,x-stainless-os',
        },
      });
    const allowed = await preflight('http://page.example');
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get('access-control-allow-origin')).toBe('http://page.example');
    expect(allowed.headers.get('access-control-allow-headers')).toContain('x-stainless-os');
    expect(allowed.headers.get('vary')).toBe('origin');
    const refused = await preflight('http://other.example');
    expect(refused.status).toBe(405);
    expect(refused.headers.get('access-control-allow-origin')).toBeNull();
    const answer = await fetch(`${own.url}/models`, { headers: { origin: 'http://page.example' } });
    expect(answer.headers.get('access-control-allow-origin')).toBe('http://page.example');
    await own.close();
  });
});

describe('pictures by address', () => {
  test.each([
    ['127.0.0.1', false],
    ['10.1.2.3', false],
    ['172.31.255.255', false],
    ['172.32.0.0', true],
    ['192.168.0.1', false],
    ['169.254.169.254', false],
    ['100.100.100.200', false],
    ['0.0.0.0', false],
    ['224.0.0.1', false],
    ['255.255.255.255', false],
    ['8.8.8.8', true],
    ['::1', false],
    ['::', false],
    ['::ffff:127.0.0.1', false],
    ['::ffff:8.8.8.8', false],
    ['64:ff9b::7f00:1', false],
    ['2002:7f00:1::', false],
    ['fd00::1', false],
    ['fe80::1', false],
    ['fe80::1%eth0', false],
    ['ff02::1', false],
    ['2606:4700:4700::1111', true],
    ['localhost', false],
  ])('%s is public: %s', (address, expected) => {
    expect(isPublic(address)).toBe(expected);
  });

  test('are fetched when that is allowed, and of the own network only when that is', async () => {
    const asked: string[] = [];
    const pictures = createServer((request, response) => {
      const path = request.url ?? '';
      asked.push(path);
      const self = `http://localhost:${(pictures.address() as AddressInfo).port}`;
      if (path === '/scene.png') response.end(scene);
      else if (path === '/moved') response.writeHead(302, { location: '/scene.png' }).end();
      else if (path === '/loop') response.writeHead(302, { location: `${self}/loop` }).end();
      else if (path === '/file') response.writeHead(302, { location: 'file:///etc/passwd' }).end();
      else if (path === '/endless') {
        const more = (): void => void (response.destroyed || response.write(Buffer.alloc(65_536), more));
        more();
      } else if (path === '/slow') response.write(Buffer.alloc(SLOW));
      else response.writeHead(404).end();
    });
    await new Promise<void>((done) => pictures.listen(0, '127.0.0.1', done));
    const { port } = pictures.address() as AddressInfo;
    const [any, open] = [
      await startService(model, { remoteImages: 'any', maxBody: MAX_BODY }),
      await startService(model, { remoteImages: 'public' }),
    ];
    const ask = async (own: Service, url: string): Promise<unknown> => {
      const content = [
        { type: 'image_url' as const, image_url: { url } },
        { type: 'text' as const, text: WHERE },
      ];
      return clientOf(own)
        .chat.completions.create({ model: MODEL, messages: [{ role: 'user', content }] })
        .then(
          ({ choices }) => choices[0].message.content,
          (error: unknown) => error,
        );
    };
    try {
      const base = `http://localhost:${port}`;
      expect(await ask(any, `${base}/scene.png`)).toBe(expected);
      expect(await ask(any, `${base}/moved`)).toBe(expected);
      for (const path of ['/loop', '/none', '/endless', '/file']) {
        expect(await ask(any, base + path), path).toMatchObject({ status: 400, param: 'messages' });
      }
      expect(await ask(any, 'http://127.0.0.1:1/x')).toMatchObject({
        status: 400,
        code: 'image_fetch_failed',
      });
      expect(await ask(any, 'http://user:pass@localhost/x')).toMatchObject({ status: 400 });
      asked.length = 0;
      for (const host of [
        `localhost:${port}`,
        `127.0.0.1:${port}`,
        `[::1]:${port}`,
        `2130706433:${port}`,
        `0x7f.1:${port}`,
      ]) {
        expect(await ask(open, `http://${host}/scene.png`), host).toMatchObject({
          status: 400,
          code: 'image_url_not_allowed',
        });
      }
      expect(asked).toEqual([]);
      // Who goes away while the picture is fetched ends that, too.
      const leaving = new AbortController();
      const content = [{ type: 'image_url' as const, image_url: { url: `${base}/slow` } }];
      const waiting = clientOf(any).chat.completions.create(
        { model: MODEL, messages: [{ role: 'user', content }] },
        { signal: leaving.signal },
      );
      await until(() => asked.includes('/slow'));
      leaving.abort();
      await expect(waiting).rejects.toThrow('aborted');
      await until(() => any.load.requests === 0);
      // Pictures take from the memory that bodies take from, and give it back.
      expect(any.load.bytes).toBe(0);
      const holders = Array.from({ length: 8 }, () => new AbortController());
      const held = holders.map(({ signal }) =>
        clientOf(any)
          .chat.completions.create({ model: MODEL, messages: [{ role: 'user', content }] }, { signal })
          .catch((error: unknown) => String(error)),
      );
      await until(() => any.load.bytes > 8 * SLOW);
      expect(await ask(any, `${base}/scene.png`)).toMatchObject({ status: 429, code: 'server_busy' });
      for (const holder of holders) holder.abort();
      for (const error of await Promise.all(held)) expect(error).toContain('aborted');
      await until(() => any.load.bytes === 0);
      expect(await ask(any, `${base}/scene.png`)).toBe(expected);
    } finally {
      pictures.closeAllConnections();
      pictures.close();
      await Promise.all([any.close(), open.close()]);
    }
  });
});
